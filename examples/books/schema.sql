create table if not exists book (
    id integer primary key, title text, author text, year integer, cover blob, cover_type text
)
