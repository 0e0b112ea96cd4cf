"""How the built-in synthetic presenter is made; run `tools/make_demo_presenter.py`."""
