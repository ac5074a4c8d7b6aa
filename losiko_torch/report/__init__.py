"""Reports of runs, as numbers and as a page, and maps of environments.

``summary`` counts, ``failures`` groups reasons, ``usage`` counts the references that were used, by
``names``. ``page`` draws ``histograms`` and ``structures``. ``map_drawing`` and ``map_page`` draw a
map that ``environment_map`` computes, as a picture and as a page.
"""
