"""In a notebook a score shows itself."""

import pytest


def test_a_score_says_what_to_use_as_text():
    pytest.importorskip("torch", reason="score is an extra")
    from anomgen.score.harness import Outcome

    html = Outcome(None, None, ["Use <nsa>.", "1  <nsa>  0.4"])._repr_html_()
    assert html.startswith("<p><strong>Use &lt;nsa&gt;.</strong></p><pre>1  &lt;nsa&gt;")
