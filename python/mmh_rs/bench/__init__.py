"""The measurements behind `mmh bench`: this package beside the other compressors that are installed.

    elements ─▶ candidates ─▶ measure ─▶ results ─▶ table, report (with chart)
    (of a file)  (who, how)   (+ memory)            (beside them: machine)

Nothing else of the package imports this, and it needs none of the rivals: what is not installed is left out, with the
reason. Private, except for the command; `benches/run.py` drives it over the corpus.
"""
