"""Media types by the extension of a file's name.

Registered types (iana.org/assignments/media-types) where there are such, else those that browsers
and servers use. Python's `mimetypes` differs from version to version, and reads files of the
machine.
"""

_OF_ANY_BYTES = "application/octet-stream"

# A type in each line, and the extensions of it.
_TABLE = """
application/atom+xml atom
application/epub+zip epub
application/geo+json geojson
application/gpx+xml gpx
application/gzip gz tgz svgz
application/java-archive jar
application/json json map
application/jsonl jsonl
application/ld+json jsonld
application/manifest+json webmanifest
application/mathml+xml mathml
application/msword doc dot wiz
application/n-quads nq
application/n-triples nt
application/oda oda
application/ogg ogx
application/pdf pdf
application/pkcs7-mime p7c p7m
application/pkix-cert cer
application/postscript ps ai eps
application/rdf+xml rdf
application/rss+xml rss
application/rtf rtf
application/sql sql
application/toml toml
application/trig trig
application/vnd.amazon.ebook azw
application/vnd.android.package-archive apk
application/vnd.apache.parquet parquet
application/vnd.apple.mpegurl m3u m3u8
application/vnd.debian.binary-package deb
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.ms-excel xls xlb
application/vnd.ms-fontobject eot
application/vnd.ms-powerpoint ppt pot ppa pps pwz
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.rar rar
application/vnd.sqlite3 sqlite sqlite3
application/vnd.visio vsd
application/wasm wasm
application/x-7z-compressed 7z
application/x-bcpio bcpio
application/x-bittorrent torrent
application/x-bzip2 bz2
application/x-cpio cpio
application/x-csh csh
application/x-dvi dvi
application/x-gtar gtar
application/x-hdf hdf
application/x-hdf5 h5
application/x-latex latex
application/x-mif mif
application/x-netcdf cdf nc
application/x-pkcs12 p12 pfx
application/x-pn-realaudio ram
application/x-python-code pyc pyo
application/x-rpm rpm
application/x-sh sh
application/x-shar shar
application/x-shockwave-flash swf
application/x-sv4cpio sv4cpio
application/x-sv4crc sv4crc
application/x-tar tar
application/x-tcl tcl
application/x-tex tex
application/x-texinfo texi texinfo
application/x-troff roff t tr
application/x-troff-man man
application/x-troff-me me
application/x-troff-ms ms
application/x-ustar ustar
application/x-wais-source src
application/xhtml+xml xhtml xht
application/xml xml xsd wsdl xpdl
application/xslt+xml xsl xslt
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/aac aac adts loas ass
audio/basic au snd
audio/flac flac
audio/midi mid midi
audio/mp4 m4a
audio/mpeg mp3 mp2
audio/ogg oga ogg opus spx
audio/wav wav
audio/webm weba
audio/x-aiff aif aifc aiff
audio/x-pn-realaudio ra
font/collection ttc
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/apng apng
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/ief ief
image/jp2 jp2
image/jpeg jpg jpe jpeg
image/jxl jxl
image/pict pict pct pic
image/png png
image/svg+xml svg
image/tiff tiff tif
image/vnd.adobe.photoshop psd
image/vnd.djvu djvu djv
image/vnd.microsoft.icon ico
image/webp webp
image/x-cmu-raster ras
image/x-portable-anymap pnm
image/x-portable-bitmap pbm
image/x-portable-graymap pgm
image/x-portable-pixmap ppm
image/x-rgb rgb
image/x-xbitmap xbm
image/x-xpixmap xpm
image/x-xwindowdump xwd
message/rfc822 eml mht mhtml nws
model/gltf+json gltf
model/gltf-binary glb
model/obj obj
model/stl stl
text/cache-manifest appcache
text/calendar ics
text/css css
text/csv csv
text/html html htm
text/javascript js mjs
text/markdown md markdown
text/n3 n3
text/plain txt text log bat c h ini conf ksh pl srt
text/richtext rtx
text/tab-separated-values tsv
text/turtle ttl
text/vcard vcf vcard
text/vtt vtt
text/x-diff diff patch
text/x-python py
text/x-rst rst
text/x-setext etx
text/x-sgml sgm sgml
video/3gpp 3gp 3gpp
video/3gpp2 3g2 3gpp2
video/matroska mkv
video/mp2t ts
video/mp4 mp4 m4v
video/mpeg mpeg m1v mpa mpe mpg
video/ogg ogv
video/quicktime mov qt
video/webm webm
video/x-msvideo avi
video/x-sgi-movie movie
"""
_TYPES = {
    extension: media_type
    for media_type, *extensions in map(str.split, _TABLE.strip().splitlines())
    for extension in extensions
}


def media_type(path: str) -> str:
    """The type of the file that a path leads to, of text with the charset UTF-8.

    What is compressed is of the type of its compression: x.tar.gz is not unpacked on the way.
    """
    name = path.rpartition("/")[2]
    # A dot in front is no extension's: .html is a hidden file without one.
    extension = name.lstrip(".").rpartition(".")
    found = _TYPES.get(extension[2].lower(), _OF_ANY_BYTES) if extension[1] else _OF_ANY_BYTES
    return f"{found}; charset=utf-8" if found.startswith("text/") else found
