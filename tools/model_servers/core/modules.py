"""Modules that everything else in a worker imports, by name.

A list, and not what the running Python has: the worker's Python is another one.
"""

from __future__ import annotations

_STANDARD = """
    abc aifc annotationlib argparse array ast asynchat asyncio asyncore atexit audioop
    base64 bdb binascii bisect builtins bz2 cProfile calendar cgi cgitb chunk cmath cmd
    code codecs codeop collections colorsys compileall compression concurrent
    configparser contextlib contextvars copy copyreg crypt csv ctypes curses dataclasses
    datetime dbm decimal difflib dis distutils doctest email encodings ensurepip enum
    errno faulthandler fcntl filecmp fileinput fnmatch fractions ftplib functools gc
    genericpath getopt getpass gettext glob graphlib grp gzip hashlib heapq hmac html
    http imaplib imghdr imp importlib inspect io ipaddress itertools json keyword
    lib2to3 linecache locale logging lzma mailbox mailcap marshal math mimetypes mmap
    modulefinder msilib msvcrt multiprocessing netrc nis nntplib nt ntpath nturl2path
    numbers opcode operator optparse os ossaudiodev pathlib pdb pickle pickletools pipes
    pkgutil platform plistlib poplib posix posixpath pprint profile pstats pty pwd
    py_compile pyclbr pydoc pydoc_data pyexpat queue quopri random re readline reprlib
    resource rlcompleter runpy sched secrets select selectors shelve shlex shutil signal
    site smtpd smtplib sndhdr socket socketserver spwd sqlite3 sre_compile sre_constants
    sre_parse ssl stat statistics string stringprep struct subprocess sunau symtable sys
    sysconfig syslog tabnanny tarfile telnetlib tempfile termios textwrap threading time
    timeit tkinter token tokenize tomllib trace traceback tracemalloc tty types typing
    unicodedata unittest urllib uu uuid venv warnings wave weakref webbrowser winreg
    winsound wsgiref xdrlib xml xmlrpc zipapp zipfile zipimport zlib zoneinfo
"""
STANDARD = frozenset(_STANDARD.split())
"""The standard library of Python 3.9 to 3.14, without games, IDLE and its tests."""

_WELL_KNOWN = """
    PIL attr attrs boto3 botocore captum certifi charset_normalizer cryptography cv2
    cython filelock fsspec google grpc huggingface_hub idna jinja2 markupsafe mpmath
    networkx numpy nvgpu onnx onnxruntime orjson packaging pandas peft pip pkg_resources
    protobuf psutil pyarrow pydantic pynvml regex requests safetensors scipy
    sentencepiece setuptools six skimage sklearn sympy tokenizers torch torch_xla
    torchaudio torchtext torchvision tqdm transformers triton ts typing_extensions
    urllib3 wheel yaml
"""
WELL_KNOWN = frozenset(_WELL_KNOWN.split())
"""What TorchServe's workers and the usual models have in site-packages."""

_OURS = frozenset({"base_handler", "model_servers_handler"})


def known_as(module: str) -> str | None:
    """Say whose module has this name; None if nobody's.

    >>> known_as("json"), known_as("torch"), known_as("my_network")
    ('Python', 'a library', None)
    """
    if module in STANDARD:
        return "Python"
    if module in WELL_KNOWN:
        return "a library"
    return "the shared handler" if module in _OURS else None
