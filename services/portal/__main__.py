"""Run the portal as this process."""

from shared.runtime.process import run

if __name__ == "__main__":
    run("portal")
