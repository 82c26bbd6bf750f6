"""Families of servers, tools and languages. The sources stand beside them.

Patterns are narrow where much lies (a documentation folder is no member) and wide where a miss breaks something.
"""

from snoop_image.families import LIBRARIES, Family

_SERVERS = (
    # CREATE FUNCTION … LANGUAGE, extensions, text search and time zones are SQL's to name.
    Family(
        "postgresql",
        ("/**/bin/postgres",),
        (
            "$1/lib/*.so",
            "$1/lib/postgresql/*.so",
            "/usr/share/postgresql/**",
            "$1/share/postgresql/**",
            "$1/share/{extension,tsearch_data,timezonesets}/**",
        ),
        "is loaded by PostgreSQL as SQL says",
    ),
    Family(
        "mysql",
        # Debian's own clients have the client library inside them, and its plug-ins beside that of others.
        ("/**/bin/{mysqld,mariadbd,mysql*,mariadb*}", "/**/{mysqld,mariadbd}", "lib{mariadb,mysqlclient}.so.*"),
        (
            LIBRARIES + "/{libmariadb?,mysql}/plugin/*",
            "$0/libmariadb?/plugin/*",
            "/usr/lib/mysql/plugin/*",
            "/usr/lib64/mysql/plugin/*",
            "/usr/share/{mysql,mariadb}/**",
            "$0/{mysql,mariadb,libmariadb3}/plugin/*",
        ),
        "is loaded as SQL or the server's authentication says",
    ),
    Family(
        "odbc",
        ("libodbc.so.*", "libodbcinst.so.*"),
        ("$0/odbc/*", "/etc/odbc*.ini", "/etc/ODBCDataSources/*"),
        "is loaded by ODBC as the source says",
    ),
    Family("apr-util", ("libaprutil-1.so.*",), ("$0/apr-util-1/*",), "is loaded by APR as the driver's name says"),
    Family(
        "postfix",
        ("/**/postfix/{s,}bin/master", "/**/postfix/master"),
        ("$0/*", "/usr/lib/postfix/**", "/etc/postfix/**"),
        "is run by Postfix as master.cf and the mail say",
    ),
    Family(
        "dovecot",
        ("/**/bin/dovecot",),
        ("/usr/{lib,libexec}/dovecot/**", "/etc/dovecot/**"),
        "is run or loaded by Dovecot",
    ),
    Family(
        "xtables",
        ("xtables-*multi", "libxtables.so.*"),
        ("$0/xtables/*", LIBRARIES + "/xtables/*", "/etc/ethertypes", "/usr/share/xtables/*"),
        "is loaded by iptables as the rule says",
    ),
    Family(
        "iproute", ("/**/bin/tc",), (LIBRARIES + "/tc/*", "/etc/iproute2/*", "/usr/share/iproute2/*"), "is loaded by tc"
    ),
    Family("collectd", ("/**/bin/collectd",), (LIBRARIES + "/collectd/**",), "is loaded as the configuration says"),
    # git(1): each subcommand that is no built-in is a program of its own in GIT_EXEC_PATH.
    Family(
        "git",
        ("/**/bin/git", "/**/git-core/git"),
        ("$1/{lib,libexec}/git-core/**", "/usr/{lib,libexec}/git-core/**", "/usr/share/git-core/templates/**"),
        "is run by git as the subcommand or the URL says",
    ),
    Family(
        "gpg",
        ("/**/bin/gpg",),
        ("/usr/{lib,libexec}/{gnupg,gnupg2}/**", "/usr/bin/{gpg-agent,gpgconf,gpgsm,dirmngr,keyboxd}"),
        "is run by gpg",
    ),
    Family(
        "apt",
        ("/**/bin/apt*", "libapt-pkg.so.*"),
        (LIBRARIES + "/apt/methods/*", "/usr/lib/apt/**", "/etc/apt/**"),
        "is run by APT as the source's URL says",
    ),
    Family("dpkg", ("/**/bin/dpkg",), ("/usr/bin/dpkg-*", "/usr/share/dpkg/*", "/etc/dpkg/**"), "is run by dpkg"),
)

# Debian's, and what perl installs by itself: with and without the version.
_PERL = "{/usr,}/{lib,share,local/lib,lib/*-linux-*}/{perl,perl-base,perl5}/{*/,}"
_LANGUAGES = (
    # Codecs by name (encodings.search_function), and what the interpreter itself imports when something first happens:
    # an error to print, a time to parse.
    Family(
        "python-codecs",
        ("/**/python*/encodings/**",),
        ("$0/**", "$1/lib-dynload/{_codecs_*,_multibytecodec,unicodedata}*.so"),
        "is imported by Python as the encoding's name says",
        without=("/**/python*/encodings/__pycache__/*",),
    ),
    # Each with what it imports itself, or it would be of no use.
    Family(
        "python-lazy",
        ("/**/python*/encodings/__init__.py",),
        (
            "$1/{traceback,linecache,tokenize,token,textwrap,contextlib,warnings,codeop,_colorize,_py_warnings}.py",
            "$1/{_strptime,calendar,datetime,_pydatetime,locale,operator,functools,types,enum,keyword,reprlib}.py",
            "$1/{threading,copyreg,struct,string,stringprep,_weakrefset,weakref,abc}.py",
            "$1/{sre_compile,sre_constants,sre_parse,_py_abc,_collections_abc,_bootlocale,_pyio,base64,quopri}.py",
            "$1/{collections,re,importlib}/*.py",
            "$1/lib-dynload/{_datetime,_struct,math}.*so",
        ),
        "is imported by Python's own code when first needed, for instance to print an error or to read a time",
    ),
    Family(
        "python-futures",
        ("/**/concurrent/futures/__init__.py",),
        ("$0/*.py", "$2/{queue,heapq,threading,weakref,logging/__init__}.py"),
        "is imported by concurrent.futures when an executor is first made",
    ),
    Family(
        "python-multiprocessing",
        ("/**/multiprocessing/__init__.py",),
        (
            "$0/**.py",
            "$1/{tempfile,random,bisect,hashlib,shutil,fnmatch,pickle,_compat_pickle,selectors,socket,subprocess}.py",
            "$1/{signal,struct,queue,heapq,runpy,pkgutil,typing,inspect,ast,dis,opcode,importlib/*}.py",
            "$1/lib-dynload/{_multiprocessing,_posixshmem,mmap,_queue,_random,_hashlib,_sha*,_bisect,_ctypes,_pickle}*so",
            "$1/lib-dynload/{_posixsubprocess,_socket,select,math,_struct,array,_heapq}*so",
        ),
        "is imported by multiprocessing when a process, queue or pool is first made",
    ),
    Family(
        "python-sysconfig",
        ("/**/bin/python3*", "libpython3*.so*"),
        (
            "/usr/{local/,}lib/python3*/{_sysconfigdata_*,_sysconfigdata__*,sysconfig,sitecustomize,os,site}.py",
            "/etc/python3*/*",
        ),
        "is imported by Python at start or by sysconfig",
    ),
    # perlunicode, PerlIO layers and Encode: loaded by regular expressions and handles as the data says; the others by
    # perl itself or by its core on an error.
    Family(
        "perl",
        ("/**/bin/perl", "/**/bin/perl5*", "libperl.so.*"),
        (
            _PERL + "unicore/**",
            _PERL + "{PerlIO,auto/PerlIO}/**",
            _PERL + "{Carp*,warnings*,utf8*,overload*}",
            _PERL + "{Carp,warnings,overload}/**",
            _PERL + "{Errno.pm,_charnames.pm,charnames.pm}",
            _PERL + "{Tie/Hash/NamedCapture.pm,re.pm}",
            _PERL + "auto/{re,Tie/Hash/NamedCapture}/*",
        ),
        "is loaded by perl as patterns, layers and errors say",
    ),
    Family("perl-encode", ("/**/Encode.pm",), ("$0/Encode/**", "$0/auto/Encode/**"), "is loaded by Encode by encoding"),
    Family(
        "perl-io-socket",
        ("/**/IO/Socket.pm",),
        ("$0/Socket/{INET,UNIX,IP}.pm",),
        "is loaded by IO::Socket by domain",
    ),
    Family(
        "ruby",
        ("libruby*.so.*", "/**/bin/ruby*"),
        ("{/usr,/usr/local}/lib/{*-linux-*/,}ruby/**/enc/**.so", "$1/lib/ruby/**/enc/**.so"),
        "is loaded by Ruby as the encoding's name says",
    ),
    # The JDK's launcher, its own libraries and its security configuration (jvm.cfg, java.security).
    Family(
        "java",
        ("/**/{server,client,minimal}/libjvm.so",),
        (
            "$1/*.so",
            "$1/{server,client,minimal,jli}/*",
            "$1/{modules,jvm.cfg,classlist,tzdb.dat,jrt-fs.jar,jspawnhelper,jexec,ct.sym,psfont*,fontconfig*}",
            "$1/{*.properties,*.cfg,*.bfc,*.src,*.dat,*.ja}",
            "$1/{security,management,images}/**",
            "$2/conf/**",
            "$2/lib/{security,management,ext,images}/**",
            "$2/release",
            "$2/lib/{rt.jar,jce.jar,jsse.jar,charsets.jar,resources.jar,*.properties,*.cfg,tzdb.dat,currency.data}",
            "/etc/java-*-openjdk/**",
            "/etc/{java,pki/java,ssl/certs/java}/**",
        ),
        "is loaded by the Java virtual machine when a class of its kind is first used",
    ),
    # .NET's shims open ICU, OpenSSL and Kerberos by name (System.Native's pal_*shim.c).
    Family(
        "dotnet",
        ("libcoreclr.so",),
        (
            "$0/*.so",
            "$0/createdump",
            "$0/*.json",
            LIBRARIES + "/lib{icuuc,icui18n,icudata,ssl,crypto,gssapi_krb5}.so.*",
        ),
        "is loaded by .NET when a class of its kind is first used",
    ),
    Family(
        "mono",
        ("/**/bin/mono*",),
        (LIBRARIES + "/libmono-*.so*", "/etc/mono/**", LIBRARIES + "/libMono*.so*"),
        "is loaded by Mono",
    ),
    Family(
        "tcl",
        ("libtcl*.so*",),
        ("/usr/share/tcltk/tcl*/{encoding,msgs,tzdata}/**", "/usr/share/tcltk/tcl*/*.tcl", "/usr/lib/tcl*/**"),
        "is loaded by Tcl as the encoding says",
    ),
    Family(
        "r",
        ("libR.so", "/**/R/bin/exec/R"),
        ("/usr/lib/R/{modules,etc}/**", "/usr/local/lib/R/{modules,etc}/**"),
        "is loaded by R when first used",
    ),
    Family(
        "guile", ("libguile-*.so.*",), ("$0/guile/**/*.go", "/usr/share/guile/**"), "is loaded by Guile when first used"
    ),
    Family(
        "erlang",
        ("/**/bin/beam.smp",),
        ("$0/{erl_child_setup,inet_gethost,epmd,heart,erlexec,beam*}",),
        "is run by Erlang's virtual machine",
    ),
    Family("uwsgi", ("/**/bin/uwsgi*",), ("/usr/lib/uwsgi/plugins/*",), "is loaded as the configuration says"),
)

APPLICATIONS: tuple[Family, ...] = _SERVERS + _LANGUAGES
