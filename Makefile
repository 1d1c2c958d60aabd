# make build | serve | test | test-portability | packages | fuzz | bench | instructions | soak |
# docs | install | clean; each sets up what it lacks.

APPS    =
OPTIONS =
OUT     = dist/cgi-bin
CGIBIN  = /usr/lib/cgi-bin
DESTDIR =
PORT    = 8000
SECONDS = 60
TIMES   = 200000
ONLY    =

# The best there is; or set it: make build PYTHON=/path/to/python3.12 (after make clean).
PYTHON := $(shell tools/python)
# Another Python's headers are its installer's matter.
ifeq ($(filter-out /usr/bin/python3,$(PYTHON)),)
PYTHON_PACKAGES = python3:/usr/bin/python3 python3-dev:python3-config \
	'python3-venv:/usr/lib/python3.*/ensurepip/__init__.py'
endif

.PHONY: build serve test test-portability packages fuzz bench instructions soak docs install clean

build: .venv/ready
	.venv/bin/python build.py --output $(OUT) $(OPTIONS) $(APPS)

serve: build
	GUESTBOOK_DB="$${GUESTBOOK_DB:-$(CURDIR)/build/guestbook.db}" \
	HITCOUNTER_FILE="$${HITCOUNTER_FILE:-$(CURDIR)/build/hits.json}" \
		.venv/bin/python -m nativecgi_build serve $(OUT) --port $(PORT)

test: build .venv-dev/ready
	tools/require apache2-bin:apache2 nginx-light:nginx fcgiwrap:fcgiwrap lighttpd:lighttpd \
		websocketd:websocketd chromium:chromium gdb:gdb debootstrap:debootstrap \
		openssl:openssl apache2-suexec-pristine:/usr/lib/apache2/suexec-pristine \
		libsqlite3-dev:/usr/include/sqlite3.h openssh-server:sshd openssh-client:sftp rsync:rsync
	.venv-dev/bin/ruff format --check .
	.venv-dev/bin/ruff check .
	.venv-dev/bin/mypy
	.venv-dev/bin/python -m pytest

# On other kernels and CPUs, emulated: some minutes.
test-portability: build .venv-dev/ready
	tools/require qemu-system-x86:qemu-system-x86_64 qemu-user:qemu-x86_64 openssl:openssl
	.venv-dev/bin/python -m pytest -m portability

# A program with each package of a table: hours, at low priority. What was tried before is kept, so
# it may be interrupted; ONLY="lxml numpy" tries just these.
packages: .venv/ready
	tools/require libmagic1:/usr/lib/x86_64-linux-gnu/libmagic.so.1 \
		libpangoft2-1.0-0:/usr/lib/x86_64-linux-gnu/libpangoft2-1.0.so.0 \
		libharfbuzz-subset0:/usr/lib/x86_64-linux-gnu/libharfbuzz-subset.so.0
	nice -n 19 .venv/bin/python -m tools.packages $(if $(ONLY),--only $(ONLY))

# Any bytes as a request, and as what a FastCGI server sends, half of the time each; fuzz/crashes has
# those that were not treated as they should be. No seconds would be no limit.
fuzz: .venv-dev/fuzz
	.venv-dev/bin/python -m fuzz exchange $$((($(SECONDS) + 1) / 2))
	.venv-dev/bin/python -m fuzz fastcgi $$((($(SECONDS) + 1) / 2))

# A peer whose compiler cannot be had is left out. Twelve minutes, and for the first time some more to
# build frameworks' applications.
bench: build .venv-dev/ready
	for package in apache2-bin:apache2 wrk:wrk musl-tools:musl-gcc golang-go:go rustc:rustc \
		cargo:cargo libsqlite3-dev:/usr/include/sqlite3.h \
		'libdbd-sqlite3-perl:/usr/lib/*/perl5/*/DBD/SQLite.pm' \
		golang-github-mattn-go-sqlite3-dev:/usr/share/gocode/src/github.com/mattn/go-sqlite3 \
		'librust-rusqlite-dev:/usr/share/cargo/registry/rusqlite-*'; do \
		tools/require "$$package" || true; done
	.venv-dev/bin/python -m bench --ours $(OUT)

# What make test allows hello from then on, and 3 % more, on machines such as this one.
instructions: APPS = hello
instructions: build .venv-dev/ready
	.venv-dev/bin/python -m bench.instructions --record $(OUT)/hello

# Any failure ends it.
soak: build .venv-dev/ready
	.venv-dev/bin/python -m bench.soak $(OUT)/hello --times $(TIMES)

# The pages of docs/ as a site, for a browser: build/site/index.html. A broken link is an error.
docs: .venv-docs/ready
	.venv-docs/bin/python -m sphinx --fail-on-warning --keep-going --quiet \
		--doctree-dir build/doctrees docs build/site

install: build
	.venv/bin/python -m nativecgi_build.build.placing $(OUT) '$(DESTDIR)$(CGIBIN)'

clean:
	rm -rf build dist .venv .venv-dev .venv-docs *.egg-info .hypothesis .mypy_cache .pytest_cache .ruff_cache

# .venv has what programs are built from and with; .venv-dev has the tools for working on this
# project as well, apart from it, so that no program picks one of those up.
.venv/ready: requirements.txt pyproject.toml
	tools/require gcc:cc libc6-dev:/usr/include/stdio.h $(PYTHON_PACKAGES)
	@tools/require ccache:ccache || echo 'Without it, what has not changed is compiled again.'
	$(call environment,.venv,requirements.txt)

.venv-dev/ready: requirements-dev.txt .venv/ready
	$(call environment,.venv-dev,requirements-dev.txt)

# Apart from the others, so that these do not change with the site's generator.
.venv-docs/ready: requirements-docs.txt
	$(or $(PYTHON),/usr/bin/python3) -m venv --clear .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement requirements-docs.txt
	touch $@

.venv-dev/fuzz: requirements-fuzz.txt .venv-dev/ready
	@.venv-dev/bin/pip install --quiet --disable-pip-version-check --only-binary :all: \
		--requirement requirements-fuzz.txt || { \
		echo 'make fuzz needs atheris, of which there are wheels for CPython 3.11 only:'; \
		echo 'make clean, and then make fuzz PYTHON=/path/to/python3.11'; exit 1; }
	touch $@

define environment
@$(or $(PYTHON),/usr/bin/python3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	|| { echo 'nativecgi needs Python 3.11 or newer: set PYTHON=/path/to/python3'; exit 1; }
$(or $(PYTHON),/usr/bin/python3) -m venv --clear $(1)
$(1)/bin/pip install --quiet --disable-pip-version-check --requirement $(2)
$(1)/bin/pip install --quiet --disable-pip-version-check --no-deps --editable .
touch $(1)/ready
endef
