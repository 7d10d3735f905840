from exporter.web.html import Html, element, group, void


def test_text_is_escaped_and_markup_is_not() -> None:
    assert element("p", "a < b & \"c\" 'd'", element("b", "<i>")) == Html(
        "<p>a &lt; b &amp; &quot;c&quot; &#x27;d&#x27;<b>&lt;i&gt;</b></p>"
    )


def test_attributes_are_escaped() -> None:
    assert element("a", href='"><script>').text == '<a href="&quot;&gt;&lt;script&gt;"></a>'


def test_an_underscore_stands_for_a_hyphen_and_a_last_one_for_nothing() -> None:
    assert void("meta", http_equiv="x", class_="y", name="z") == Html('<meta http-equiv="x" class="y" name="z">')


def test_a_group_adds_nothing() -> None:
    assert group("<", Html("<br>"), "") == Html("&lt;<br>")
