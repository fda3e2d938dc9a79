"""Jobs on a Ray cluster that runs already, over its Jobs API.

``target`` is what commands use; ``client`` is Ray's own client with limits on its patience;
``sending`` says what is sent, ``describing`` what Ray's answers mean, ``following`` gives a log to
its end. No module but ``client`` imports Ray, and nothing imports that before it is used.
"""
