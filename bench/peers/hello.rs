//! "Hello world" as a CGI program in Rust, with nothing but std.

fn main() {
    let body = "Hello world";

    print!(
        "Status: 200 OK\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         \r\n\
         {body}",
        body.len()
    );
}
