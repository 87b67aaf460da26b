"""Services outside of this program, each asked in a module of this folder."""
