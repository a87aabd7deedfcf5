"""The page in a browser, at the widths of a desktop and of a telephone, and as a PDF."""

import json
import re
import shutil
import subprocess

import pytest

from equipot_fit._report._write import write_report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

MEASURE = """<script>
const frame = document.getElementById("page"), result = [];
frame.onload = () => {
  const page = frame.contentDocument, wide = page.documentElement.clientWidth;
  for (const one of page.querySelectorAll("body *")) {
    const box = one.getBoundingClientRect();
    if (box.right > wide + 1 && !one.closest(".scroll, pre")) result.push(one.tagName + " " + Math.round(box.right));
  }
  const text = JSON.stringify({wide: wide, scroll: page.documentElement.scrollWidth, over: result,
    images: [...page.images].filter(one => one.naturalWidth === 0).length});
  document.body.innerHTML = "<p id=found>" + text.replace(/&/g, "&amp;").replace(/</g, "&lt;") + "</p>";
};
frame.srcdoc = atob(document.getElementById("source").textContent);
</script>"""


@pytest.fixture(scope="module")
def page_file(made_run, tmp_path_factory):
    if BROWSER is None:
        pytest.skip("needs Chromium")
    return write_report(made_run, tmp_path_factory.mktemp("browser") / "report.html")


def chromium(folder, *arguments):
    """Output of the browser without a window."""
    options = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--virtual-time-budget=20000",
        f"--user-data-dir={folder}/profile",
    ]
    done = subprocess.run([BROWSER, *options, *arguments], capture_output=True, text=True, timeout=200, check=True)
    return done.stdout


def measured(page_file, folder, width):
    """What a browser finds in the page, laid out in a frame of a width in pixels."""
    import base64

    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page_file.read_text(encoding="utf-8"))
    text = text.replace('loading="lazy"', "")
    source = base64.b64encode(text.encode("ascii", "xmlcharrefreplace")).decode()
    frame = f'<iframe id="page" style="border:0; width:{width}px; height:4000px"></iframe>'
    outer = folder / "outer.html"
    outer.write_text(
        f'<body>{frame}<template></template><div id="source" hidden>{source}</div>{MEASURE}</body>', encoding="utf-8"
    )
    shown = chromium(folder, "--dump-dom", f"--window-size={width + 100},1000", outer.as_uri())
    return json.loads(
        re.search(r'<p id="found">(.*?)</p>', shown, re.DOTALL)[1].replace("&lt;", "<").replace("&amp;", "&")
    )


@pytest.mark.slow
@pytest.mark.parametrize("width", [1200, 400])
def test_nothing_is_wider_than_the_page(page_file, tmp_path, width):
    found = measured(page_file, tmp_path, width)
    assert abs(found["wide"] - width) <= 20
    assert found["over"] == []
    assert found["scroll"] <= found["wide"]
    assert found["images"] == 0


@pytest.mark.slow
def test_it_prints(page_file, tmp_path):
    chromium(tmp_path, f"--print-to-pdf={tmp_path / 'report.pdf'}", "--no-pdf-header-footer", page_file.as_uri())
    content = (tmp_path / "report.pdf").read_bytes()
    assert content.startswith(b"%PDF")
    pages = len(re.findall(rb"/Type\s*/Page\b", content))
    assert 3 <= pages <= 25
