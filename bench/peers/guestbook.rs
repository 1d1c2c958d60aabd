//! The guestbook as a CGI program in Rust, with rusqlite.

use std::env::var;
use std::fmt::Write as _;
use std::io::{stdin, stdout, Read, Write as _};
use std::time::Duration;

use rusqlite::{params, Connection, Result};

/// The page's, filled in from apps/guestbook.py.
const HEAD: &str = "@HEAD@";

fn answer(status: &str, header: &str, body: &str) {
    let length = body.len();
    let head = format!("Status: {status}\r\n{header}\r\nContent-Length: {length}\r\n\r\n");
    stdout().write_all((head + body).as_bytes()).expect("standard output takes the answer");
}

fn escape(text: &str, page: &mut String) {
    for character in text.chars() {
        match character {
            '&' => page.push_str("&amp;"),
            '<' => page.push_str("&lt;"),
            '>' => page.push_str("&gt;"),
            '"' => page.push_str("&quot;"),
            '\'' => page.push_str("&#x27;"),
            other => page.push(other),
        }
    }
}

fn list(database: &Connection) -> Result<()> {
    let mut select = database.prepare(
        "SELECT name, message, substr(created, 1, 16) FROM entries ORDER BY id DESC LIMIT 100",
    )?;
    let mut rows = select.query([])?;
    let mut page = HEAD.to_string();
    while let Some(row) = rows.next()? {
        let created = row.get_ref(2)?.as_str()?;
        page.push_str("<article><h2>");
        escape(row.get_ref(0)?.as_str()?, &mut page);
        let _ = write!(page, "</h2><time datetime=\"{created}Z\">{created} UTC</time><p>");
        escape(row.get_ref(1)?.as_str()?, &mut page);
        page.push_str("</p></article>\n");
    }
    answer("200 OK", "Content-Type: text/html; charset=utf-8", &page);
    Ok(())
}

/// Undo a form's encoding.
fn decoded(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digits = behind.get(..2).filter(|_| *first == b'%');
        let byte = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = if byte.is_some() { &behind[2..] } else { behind };
        bytes.push(byte.unwrap_or(if *first == b'+' { b' ' } else { *first }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refuse(field: &str, most: usize) {
    let message = format!("A {field} has 1 to {most} characters.\n");
    answer("400 Bad Request", "Content-Type: text/plain; charset=utf-8", &message);
}

fn add(database: &Connection) -> Result<()> {
    let (mut body, mut name, mut message) = (Vec::new(), String::new(), String::new());
    let length = var("CONTENT_LENGTH").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    stdin().take(length).read_to_end(&mut body).expect("standard input has the body");
    for pair in body.split(|byte| *byte == b'&') {
        match pair.iter().position(|byte| *byte == b'=').map(|at| pair.split_at(at)) {
            Some((b"name", value)) => name = decoded(&value[1..]),
            Some((b"message", value)) => message = decoded(&value[1..]),
            _ => {}
        }
    }
    if !(1..=80).contains(&name.chars().count()) {
        refuse("name", 80);
        return Ok(());
    }
    if !(1..=2000).contains(&message.chars().count()) {
        refuse("message", 2000);
        return Ok(());
    }
    database.pragma_update(None, "journal_mode", "WAL")?;
    database.pragma_update(None, "synchronous", "NORMAL")?;
    database.execute("INSERT INTO entries (name, message) VALUES (?, ?)", params![name, message])?;
    let location = format!("Location: {}", var("SCRIPT_NAME").unwrap_or_default());
    answer("303 See Other", &location, "");
    Ok(())
}

fn main() -> Result<()> {
    let database = Connection::open(var("GUESTBOOK_DB").expect("GUESTBOOK_DB is set"))?;
    database.busy_timeout(Duration::from_secs(5))?;
    if var("REQUEST_METHOD").as_deref() == Ok("POST") {
        add(&database)
    } else {
        list(&database)
    }
}
