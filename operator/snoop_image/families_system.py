"""Families of libraries: libc, security, processors and devices, desktop. The sources stand beside them.

Patterns are narrow where much lies (a documentation folder is no member) and wide where a miss breaks something.
"""

from snoop_image.families import LIBRARIES, Family

# ld.so and libc: dlopen(3) inside glibc (nss, iconv/gconv_dl.c, sysdeps/nptl libgcc_s, inet/idna.c). NSS services are
# in `services`, as nsswitch.conf names them.
_LIBC = (
    Family(
        "libgcc",
        ("{libc.so.6,libpthread.so.0,libc-*.so}",),
        ("$0/libgcc_s.so.1", LIBRARIES + "/libgcc_s.so.1"),
        "is loaded by libc when a thread is cancelled or exits, or a backtrace is made",
    ),
    Family(
        "libidn2",
        ("{libc.so.6,libc-*.so}",),
        ("$0/libidn2.so.0", LIBRARIES + "/libidn2.so.0"),
        "is loaded by libc when a host name is not ASCII",
    ),
    Family(
        "gconv",
        ("/**/gconv/{*.so,gconv-modules,gconv-modules.cache}", "/**/gconv/gconv-modules.d/*"),
        (LIBRARIES + "/gconv/**", "$0/*.so", "$0/gconv-modules*", "$0/gconv-modules.d/*"),
        "is loaded by iconv(3) as the character set of the data says",
    ),
    Family(
        "locale",
        ("/usr/lib/locale/*/**",),
        ("/usr/lib/locale/C.{utf8,UTF-8}/**",),
        "is loaded by setlocale(3) as LANG and LC_* say",
    ),
    # Only zones that are asked for by name: localtime and UTC are read by every program that has a clock.
    Family(
        "zoneinfo",
        ("/usr/share/zoneinfo/**", "/**/site-packages/tzdata/zoneinfo/**"),
        ("/usr/share/zoneinfo/**", "$0/*"),
        "is read as a zone's name says, which data may hold",
        without=(
            "/usr/share/zoneinfo/{localtime,posixrules,UTC,UCT,Universal,Zulu,GMT,Etc/UTC,Etc/UCT,Etc/GMT,leapseconds}",
            "/usr/share/zoneinfo/{zone.tab,zone1970.tab,iso3166.tab,tzdata.zi,leap-seconds.list,+VERSION}",
        ),
    ),
    Family("musl-locale", ("/**/musl/locale/*",), ("$0/*",), "is loaded by setlocale(3) as LANG and LC_* say"),
)

_SECURITY = (
    # config(5ssl), ossl-modules of OpenSSL 3, engines of 1.1; crypto-policies of Fedora and its kin.
    Family(
        "openssl",
        ("libcrypto.so.*",),
        (
            "$0/ossl-modules/*",
            "$0/engines-*/*",
            LIBRARIES + "/{ossl-modules,engines-*}/*",
            "/usr/lib/ssl/{openssl.cnf,openssl.cnf.d/*}",
            "/etc/ssl/{openssl.cnf,openssl.cnf.d/*,fipsmodule.cnf,openssl.conf,ct_log_list.cnf}",
            "/etc/pki/tls/{openssl.cnf,openssl.d/*,fips_local.cnf}",
            "/etc/crypto-policies/{config,back-ends/*,state/*}",
        ),
        "is loaded by OpenSSL as its configuration and the algorithm asked for say",
    ),
    Family(
        "gnutls",
        ("libgnutls.so.*",),
        ("/etc/gnutls/*", "/etc/crypto-policies/{config,back-ends/*}"),
        "is read by GnuTLS as its policy says",
    ),
    # p11-kit(8), pkcs11.conf(5).
    Family(
        "p11-kit",
        ("libp11-kit.so.*",),
        (
            LIBRARIES + "/pkcs11/*",
            "/usr/share/p11-kit/modules/*",
            "/etc/pkcs11/{pkcs11.conf,modules/*}",
            LIBRARIES + "/p11-kit-proxy.so",
            "{/usr,}/{lib,libexec,lib/*-linux-*}/p11-kit/p11-kit-{remote,server}",
        ),
        "is loaded by p11-kit as its modules' configuration says",
    ),
    Family(
        "nss",
        ("libnss3.so",),
        ("$0/{libsoftokn3,libfreebl3,libfreeblpriv3,libnssckbi,libnssdbm3}.{so,chk}", "$0/nss/*"),
        "is loaded by NSS when it opens its tokens",
    ),
    # SASL plugins: libsasl2's sasl_config path.
    Family(
        "sasl",
        ("libsasl2.so.*",),
        ("$0/sasl2/*", LIBRARIES + "/sasl2/*", "/etc/{sasl2,sasl}/*", "/etc/sasldb2"),
        "is loaded by SASL as the mechanism asked for says",
    ),
    # krb5.conf(5), plugin base directory; GSS mechanisms.
    Family(
        "krb5",
        ("libkrb5.so.*", "libgssapi_krb5.so.*"),
        (
            "$0/krb5/plugins/**",
            LIBRARIES + "/krb5/plugins/**",
            "/etc/{krb5.conf,krb5.conf.d/*,gss/mech,gss/mech.d/*}",
            "$0/libkrb5support.so.*",
        ),
        "is loaded by Kerberos as the realm's authentication says",
    ),
    Family(
        "gss-mechanisms", ("libgssapi.so.*",), ("$0/gss/*", "/etc/gss/mech.d/*"), "is loaded by GSSAPI by mechanism"
    ),
    Family(
        "sudo", ("/**/bin/sudo",), ("/usr/{lib,libexec}/sudo/*", "/etc/sudo*", "/etc/sudoers.d/*"), "is loaded by sudo"
    ),
    Family(
        "openssh",
        ("/**/{s,}bin/{sshd,ssh}",),
        (
            "/usr/{lib/openssh,libexec/openssh,lib/ssh,libexec}/{sftp-server,ssh-keysign,ssh-pkcs11-helper}",
            "/usr/{lib/openssh,libexec/openssh,lib/ssh,libexec}/{ssh-sk-helper,sshd-session,sshd-auth}",
            "/etc/ssh/**",
        ),
        "is run or read by SSH as the session asks",
    ),
)

_PROCESSOR = (
    # oneMKL and its kin choose by CPUID; a node of another kind loads another one.
    Family(
        "mkl",
        ("libmkl_{core,rt}.so*", "libmkl_intel_thread.so*"),
        ("$0/libmkl_*.so*", "$0/libiomp5.so"),
        "is loaded by MKL as the node's processor says",
    ),
    Family("ipp", ("libipp*.so*",), ("$0/libipp*.so*",), "is loaded by IPP as the node's processor says"),
    Family(
        "ggml", ("libggml*.so*",), ("$0/libggml-*.so*",), "is loaded by ggml as the node's processor and devices say"
    ),
    Family(
        "cudnn",
        ("libcudnn*.so.*",),
        ("$0/libcudnn*.so.*",),
        "is loaded by cuDNN when an operation of its kind is first used",
    ),
    Family(
        "cuda",
        ("lib{nvrtc,cublas,cublasLt,cufft,cusparse,cusolver}.so.*",),
        ("$0/lib{nvrtc,nvrtc-builtins,cublasLt,nvJitLink}.so.*", "$2/*/lib/libnvrtc-builtins.so.*"),
        "is loaded by CUDA's libraries at first use",
    ),
    Family("tbb", ("libtbb.so*",), ("$0/libtbb{bind*,malloc*}.so*",), "is loaded by TBB as the node's topology says"),
    Family("opencl", ("libOpenCL.so.*",), ("/etc/OpenCL/vendors/*", LIBRARIES + "/libpocl.so*"), "is an OpenCL driver"),
    Family(
        "openvino", ("libopenvino.so*",), ("$0/libopenvino_*.so*", "$0/plugins.xml"), "is loaded by OpenVINO by device"
    ),
    Family("onnxruntime", ("libonnxruntime.so*",), ("$0/libonnxruntime_providers_*.so",), "is loaded by device"),
)

_DESKTOP = (
    Family("icu", ("libicuuc.so.*", "libicudata.so.*"), ("/usr/share/icu/**", "$0/libicudata.so.*"), "is ICU's data"),
    Family(
        "magic",
        ("libmagic.so.*",),
        ("/usr/{share/misc,lib/file,share/file}/magic*", "/etc/magic*"),
        "is read by libmagic",
    ),
    # terminfo(5): the terminals that ncurses-base brings; which one is TERM's to say, as of `kubectl exec -it`.
    Family(
        "terminfo",
        ("lib{tinfo,ncurses,ncursesw,tinfow}.so.*",),
        (
            "/{etc,lib,usr/share,usr/lib}/terminfo/?/{ansi,dumb,linux,vt100,vt102,vt220,vt52,cygwin,hurd,sun,cons25}",
            "/{etc,lib,usr/share,usr/lib}/terminfo/?/{xterm*,screen*,tmux*,rxvt*,alacritty,wsvt25*,kitty,foot}",
        ),
        "is read as TERM says, for instance in an interactive session",
    ),
    Family(
        "fontconfig",
        ("libfontconfig.so.*",),
        (
            "/etc/fonts/**",
            "/usr/share/{fontconfig,xml/fontconfig}/**",
            "/usr/share/fonts/**",
            "/usr/local/share/fonts/**",
        ),
        "is chosen by fontconfig as the text and its language say",
    ),
    Family(
        "gdk-pixbuf",
        ("libgdk_pixbuf-2.0.so.*",),
        ("$0/gdk-pixbuf-2.0/**", "/usr/share/{mime/mime.cache,mime/magic,mime/globs2}"),
        "is loaded by GdkPixbuf as the image's format says",
    ),
    Family(
        "gio",
        ("libgio-2.0.so.*",),
        ("$0/gio/modules/*", "/usr/share/glib-2.0/schemas/gschemas.compiled"),
        "is loaded by GIO",
    ),
    Family("pango", ("libpango-1.0.so.*",), ("$0/pango/**",), "is loaded by Pango as the script says"),
    Family("gtk", ("libgtk-?.so.*", "libgtk-?-*.so.*"), ("$0/gtk-?.0/**",), "is loaded by GTK"),
    Family("qt", ("libQt?Core.so.*",), ("$0/qt?/plugins/**", "$1/plugins/**"), "is a plug-in of Qt"),
    Family(
        "gstreamer",
        ("libgstreamer-1.0.so.*",),
        ("$0/gstreamer-1.0/*", "$0/gstreamer1.0/**"),
        "is loaded as the media's format says",
    ),
    Family(
        "imagemagick",
        ("libMagickCore-*.so.*",),
        ("$0/ImageMagick-*/**", "/etc/ImageMagick-*/*", "/usr/share/ImageMagick-*/*"),
        "is loaded by ImageMagick as the image's format says",
    ),
    Family("vips", ("libvips.so.*",), ("$0/vips-modules-*/*",), "is loaded by libvips as the image's format says"),
    Family(
        "gdal",
        ("libgdal.so.*",),
        ("$0/gdalplugins/*", "/usr/share/{gdal,proj}/**"),
        "is loaded by GDAL as the format says",
    ),
    Family("proj", ("libproj.so.*",), ("/usr/share/proj/**",), "is read by PROJ as the reference system says"),
    Family("graphviz", ("libgvc.so.*",), ("$0/graphviz/*",), "is loaded by Graphviz as the format says"),
    Family(
        "graphics",
        ("lib{GL,GLX,EGL,GLESv2,gbm,vulkan}.so.*",),
        (
            "$0/{dri,gbm}/*",
            "$0/lib{GLX,EGL}_*.so.*",
            "/usr/share/{glvnd/egl_vendor.d,vulkan/icd.d,drirc.d}/*",
            "/etc/{glvnd/egl_vendor.d,vulkan/icd.d}/*",
            "$0/libvulkan_*.so*",
            "$0/libgallium*.so*",
        ),
        "is a graphics driver, loaded as the node's device says",
    ),
    Family("alsa", ("libasound.so.*",), ("$0/alsa-lib/*", "/usr/share/alsa/**", "/etc/alsa/**"), "is loaded by ALSA"),
    Family(
        "hunspell", ("libhunspell*.so.*", "libenchant*.so.*"), ("/usr/share/{hunspell,myspell}/**",), "is a dictionary"
    ),
    Family(
        "tesseract",
        ("libtesseract.so.*",),
        ("/usr/share/tesseract-ocr/**", "/usr/share/tessdata/**"),
        "is a language's data",
    ),
)

SYSTEM: tuple[Family, ...] = _LIBC + _SECURITY + _PROCESSOR + _DESKTOP
