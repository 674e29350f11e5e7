"""The SAL interface that the archiver needs, and that of the IDL files at hand.

The topics and fields of a component differ between releases of the observatory's definitions.
"""
