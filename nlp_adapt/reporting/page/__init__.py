"""The report page: one HTML file that shows a run, without scripts and without the network."""

PAGE = "report.html"
EXAMPLES_PAGE = "report-with-examples.html"
