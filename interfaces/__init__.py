"""The SAL interfaces of the archiver and its peers, and the generator of their IDL.

``python -m interfaces`` writes the IDL; see ``docs/explanations/middleware.md``.
"""
