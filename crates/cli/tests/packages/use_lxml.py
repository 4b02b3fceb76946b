import io

import lxml.builder
import lxml.etree as etree
import lxml.html
import lxml.html.builder
import lxml.html.diff
import lxml.objectify
import lxml.sax
from lxml import isoschematron


def handler(event, context):
    tree = etree.fromstring(b"<r><a n='1'>x</a><a n='2'>y</a></r>")
    assert tree.xpath("//a[@n='2']/text()") == ["y"] and tree.findtext("a") == "x"
    sheet = etree.XSLT(etree.XML(b"""<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
        <xsl:template match="/"><n><xsl:value-of select="count(//a)"/></n></xsl:template></xsl:stylesheet>"""))
    assert str(sheet(tree)).strip().endswith("<n>2</n>")
    rules = etree.XML(b"""<schema xmlns="http://purl.oclc.org/dsdl/schematron">
        <pattern><rule context="r"><assert test="count(a) = 2">two</assert></rule></pattern></schema>""")
    schematron = isoschematron.Schematron(rules, store_report=True)
    assert schematron.validate(tree) and not schematron.validate(etree.XML(b"<r><a/></r>"))
    schema = etree.XMLSchema(etree.XML(b"""<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
        <xs:element name="r"/></xs:schema>"""))
    assert schema.validate(etree.XML(b"<r/>")) and not schema.validate(etree.XML(b"<q/>"))
    relax = etree.RelaxNG(etree.XML(b"""<element name="r" xmlns="http://relaxng.org/ns/structure/1.0">
        <empty/></element>"""))
    assert relax.validate(etree.XML(b"<r/>"))
    page = lxml.html.fromstring("<p>Hello <b>there</b><a href='/x'>l</a></p>")
    page.make_links_absolute("https://example.com")
    assert page.text_content().startswith("Hello there") and page.xpath("//a/@href") == ["https://example.com/x"]
    assert "<ins>" in lxml.html.diff.htmldiff("<p>a</p>", "<p>a b</p>")
    assert lxml.objectify.fromstring("<r><n>3</n></r>").n + 1 == 4
    assert etree.tostring(lxml.builder.E.p("x")) == b"<p>x</p>" and lxml.html.builder.P("x").tag == "p"
    assert [e.tag for _, e in etree.iterparse(io.BytesIO(b"<r><a/></r>"))] == ["a", "r"]
    try:
        etree.fromstring(b"<r>")
        raise AssertionError("it is not closed")
    except etree.XMLSyntaxError:
        pass
    assert lxml.get_include()
