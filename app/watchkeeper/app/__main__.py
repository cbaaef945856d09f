"""``python -m watchkeeper.app`` is ``watchkeeper``."""

from watchkeeper.app.cli import main

if __name__ == "__main__":
    main()
