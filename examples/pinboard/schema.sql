create table if not exists note (
    id integer primary key, author text, words text, file_name text, content blob
)
