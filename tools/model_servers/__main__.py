"""``python -m model_servers`` is the command line ``ms``."""

from model_servers.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
