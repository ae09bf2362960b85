"""``python -m model_servers`` is the command line ``ms``."""

from model_servers.cli.main import run

if __name__ == "__main__":
    run()
