"""Text files: fields, quotation marks, ids, scores, and heads that must be recognized."""

from __future__ import annotations

from tests.integration.hostile.case import AB, CD, HEADER, PAIRS, TIMED, TSV, WEIGHED, Hostile
from tests.integration.ingesting import NAMES, NUMBERS

TEXT = [
    # Fields and lines
    Hostile("too many fields", HEADER + b"a,b,1\nx,y,1,2\nc,d,1\n", [AB, CD], [(3, "4 fields instead of 3")]),
    Hostile("too few fields", HEADER + b"a,b\nc,d,1\n", [CD], [(2, "2 fields instead of 3")]),
    Hostile("trailing comma", HEADER + b"a,b,1,\nc,d,1\n", [CD], [(2, "4 fields instead of 3")]),
    Hostile("spaces are a row", HEADER + b"a,b,1\n   \nc,d,1\n", [AB, CD], [(3, "1 fields instead of 3")]),
    Hostile("empty lines are none", HEADER + b"\n\na,b,1\n\r\n\nc,d,x\n\n", [AB], [(7, "score is not a number")]),
    Hostile("no line end at the end", HEADER + b"a,b,1\nc,d,1", [AB, CD]),
    Hostile("CRLF", b"left,right,score\r\na,b,1\r\nc,d,1\r\n", [AB, CD]),
    Hostile("CRLF and LF mixed", b"left,right,score\r\na,b,1\nc,d,1\r\n", [AB, CD]),
    Hostile(
        "a carriage return in a field",
        HEADER + b"a\rz,b,1\nc,d,1\n",
        [CD],
        [(2, "carriage return that does not end a line")],
    ),
    Hostile("carriage returns alone", b"left,right,score\ra,b,1\rc,d,1\r", error="lines end in carriage returns only"),
    Hostile("byte order mark", b"\xef\xbb\xbf" + HEADER + b"a,b,1\n", [AB]),
    Hostile("byte order mark, no header", b"\xef\xbb\xbfa,b,1\nc,d,1\n", [AB, CD], layout=NUMBERS),
    Hostile("byte order mark within", HEADER + b"\xef\xbb\xbfa,b,1\n", [(b"\xef\xbb\xbfa", b"b")]),
    Hostile(
        "UTF-16",
        (HEADER + b"a,b,1\n\xc3\xa9,d,x\nc,d,1\n").decode().encode("utf-16"),
        [AB, CD],
        [(3, "score is not a number")],
    ),
    Hostile(
        "UTF-16 without a byte order mark",
        (HEADER + b"a,b,1\n").decode().encode("utf-16-le"),
        error="looks like UTF-16.* Set data.encoding to utf-16-le",
    ),
    Hostile(
        "UTF-16 that is configured",
        (HEADER + b"a,b,1\n").decode().encode("utf-16-le"),
        [AB],
        layout=NAMES.replace(encoding="utf-16-le"),
    ),
    Hostile(
        "half a character of UTF-16", HEADER.decode().encode("utf-16") + b"a", error="is not utf-16: truncated data"
    ),
    Hostile(
        "Windows text",
        HEADER + b"caf\xe9,b,1\n\x80,d,x\n",
        [("café".encode(), b"b")],
        [(3, "score is not a number")],
        layout=NAMES.replace(encoding="cp1252"),
    ),
    Hostile(
        "not Windows text",
        HEADER + b"\x81,b,1\nc,d,1\n",
        [CD],
        [(2, "left id is not UTF-8")],
        layout=NAMES.replace(encoding="cp1252"),
    ),
    Hostile(
        "Windows text by itself",
        HEADER + b"caf\xe9,b,1\nna\xefve,M\xfcller,1\nc,d,x\n",
        [("café".encode(), b"b"), ("naïve".encode(), "Müller".encode())],
        [(4, "score is not a number")],
    ),
    Hostile(
        "a header that is not UTF-8", b"left,r\xeaght,score\na,b,1\n", error="They are not UTF-8: set data.encoding"
    ),
    Hostile("latin-1 id", HEADER + b"caf\xe9,b,1\nc,d,1\n", [CD], [(2, "left id is not UTF-8")]),
    Hostile("half an emoji", HEADER + b"a,\xf0\x9f\x98,1\nc,d,1\n", [CD], [(2, "right id is not UTF-8")]),
    Hostile("overlong UTF-8", HEADER + b"\xc0\xaf,b,1\nc,d,1\n", [CD], [(2, "left id is not UTF-8")]),
    Hostile(
        "a line of two megabytes",
        HEADER + b"a,b,1\n" + b"x" * (2 << 20) + b"\nc,d,1\n",
        [AB, CD],
        [(3, "line is longer than 1,048,576 bytes")],
    ),
    # Quotation marks
    Hostile("all quoted", b'"left","right","score"\n"a","b","1"\n', [AB]),
    Hostile("comma in quotes", HEADER + b'"a,z",b,1\n', [(b"a,z", b"b")]),
    Hostile("doubled quotes", HEADER + b'"say ""a""",b,1\n', [(b'say "a"', b"b")]),
    Hostile("only quotes", HEADER + b'"""",b,1\n', [(b'"', b"b")]),
    Hostile("tab in quotes", HEADER + b'"a\tz",b,1\n', [(b"a\tz", b"b")]),
    Hostile("inches", HEADER + b'5" disk,b,1\nc,d,1\n', [(b'5" disk', b"b"), CD]),
    Hostile("doubled marks in a plain field", HEADER + b'5""x,b,1\n"c",d,1\n', [(b'5""x', b"b"), CD]),
    Hostile(
        "text after a closing mark",
        HEADER + b'"a" z,b,1\nc,d,1\n',
        [CD],
        [(2, "text after the closing quotation mark of a field")],
    ),
    Hostile("a mark that never closes", HEADER + b'"a,b,1\nc,d,1\n', [CD], [(2, "quoted field does not end")]),
    Hostile(
        "a lost mark, quoted rows below",
        HEADER + b'"a,b,1\nc,d,1\n"e","f",1\n',
        [CD, (b"e", b"f")],
        [(2, "quoted field does not end")],
    ),
    Hostile(
        "newline in an id",
        HEADER + b'"a\nz",b,1\nc,d,x\ne,f,1\n',
        [(b"e", b"f")],
        [(2, "left id holds a line feed or a carriage return"), (4, "score is not a number")],
    ),
    Hostile(
        "newline in another column",
        b'note,left,right,score\n"one\ntwo\r\n\nfour",a,b,1\nz,c,d,x\n',
        [AB],
        [(6, "score is not a number")],
    ),
    Hostile(
        "newline in the header", b'left,right,score,"no\nte"\na,b,1,z\nc,d,x,z\n', [AB], [(4, "score is not a number")]
    ),
    Hostile("header with a lost mark", b'left,right,"score\na,b,1\n', error="header cannot be read: quoted field"),
    Hostile(
        "a mark is a word of TSV",
        b'left\tright\tscore\n"\tthe\t1\nof\t"\t2\n',
        [(b'"', b"the"), (b"of", b'"')],
        layout=TSV,
    ),
    Hostile(
        "tabs in quoted TSV",
        b'left\tright\tscore\n"a\tz"\tb\t1\n',
        [(b"a\tz", b"b")],
        layout=TSV.replace(quoting="double"),
    ),
    # Ids
    Hostile("empty ids", HEADER + b",b,1\na,,1\nc,d,1\n", [CD], [(2, "left id is empty"), (3, "right id is empty")]),
    Hostile("quoted nothing", HEADER + b'"",b,1\nc,d,1\n', [CD], [(2, "left id is empty")]),
    Hostile(
        "leading zeros and spaces", HEADER + b"007, a ,1\n  ,\xc2\xa0,1\n", [(b"007", b" a "), (b"  ", b"\xc2\xa0")]
    ),
    Hostile("emoji", HEADER + "😀,e\u0301,1\n".encode(), [("😀".encode(), "e\u0301".encode())]),
    Hostile("NUL", HEADER + b"a\0z,\0,1\n", [(b"a\0z", b"\0")]),
    Hostile("null is a word", HEADER + b"null,NA,1\nNaN,None,1\n", [(b"NaN", b"None"), (b"null", b"NA")]),
    Hostile("as long as may be", HEADER + b"a" * 1024 + b",b,1\n", [(b"a" * 1024, b"b")]),
    Hostile(
        "longer than may be", HEADER + b"a" * 1025 + b",b,1\nc,d,1\n", [CD], [(2, "left id is longer than 1,024 bytes")]
    ),
    Hostile(
        "a limit of one's own",
        HEADER + b"ab,b,1\nc,d,1\n",
        [CD],
        [(2, "left id is longer than 1 bytes")],
        changes={"max_id_bytes": 1},
    ),
    # Scores
    Hostile("words for scores", HEADER + b"a,b,good\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile("no score", HEADER + b"a,b,\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile("decimal comma", HEADER + b'a,b,"1,5"\nc,d,1\n', [AB, CD]),
    Hostile(
        "decimal comma that is refused",
        HEADER + b'a,b,"1,5"\nc,d,1\n',
        [CD],
        [(2, "score is not a number")],
        layout=NAMES.replace(decimal="."),
    ),
    Hostile(
        "points where commas are decimal marks",
        HEADER + b'a,b,"1,5"\nc,d,"1.234"\ne,f,"1.234,5"\n',
        [AB],
        [(3, "score is not a number"), (4, "score is not a number")],
        layout=NAMES.replace(decimal=","),
    ),
    Hostile("commas and points", HEADER + b'a,b,"1,5"\nc,d,1.5\n', [CD], [(2, "score is not a number")]),
    Hostile("thousands or decimals", HEADER + b'a,b,"1,500"\nc,d,"20,000"\n', error="Set data.decimal to ',' or '.'"),
    Hostile("NaN", HEADER + b"a,b,NaN\nc,d,1\n", [CD], [(2, "score is not finite")]),
    Hostile(
        "infinities",
        HEADER + b"a,b,inf\na,b,-Infinity\nc,d,1\n",
        [CD],
        [(2, "score is not finite"), (3, "score is not finite")],
    ),
    Hostile("beyond 64 bits", HEADER + b"a,b,1e400\nc,d,1e-400\n", [CD], [(2, "score is not finite")]),
    Hostile("beyond 32 bits", HEADER + b"a,b,1e39\nc,d,1\n", [CD], [(2, "score is not finite")]),
    Hostile(
        "NaN beside a word",
        HEADER + b"a,b,nan\nx,y,z\nc,d,1\n",
        [CD],
        [(2, "score is not finite"), (3, "score is not a number")],
    ),
    Hostile(
        "numbers of every kind",
        HEADER + b"a,b, +1.5 \nc,d,.5\ne,f,1.\ng,h,1E-3\n",
        [AB, CD, (b"e", b"f"), (b"g", b"h")],
    ),
    Hostile(
        "hexadecimal, underscores",
        HEADER + b"a,b,0x10\na,b,1_0\nc,d,1\n",
        [CD],
        [(2, "score is not a number"), (3, "score is not a number")],
    ),
    Hostile(
        "digits of another script", HEADER + "a,b,\uff11\n".encode() + b"c,d,1\n", [CD], [(2, "score is not a number")]
    ),
    Hostile("a score that is not UTF-8", HEADER + b"a,b,\xff\nc,d,1\n", [CD], [(2, "score is not a number")]),
    Hostile(
        "out of the domain",
        HEADER + b"a,b,6\na,b,0\nc,d,5\n",
        [CD],
        [
            (2, "score is above 5, the maximum in the schema"),
            (3, "score is below 1, the minimum in the schema"),
        ],
        changes={"score_min": 1.0, "score_max": 5.0},
    ),
    Hostile(
        "weights",
        b"left,right,score,weight\na,b,1,2\nc,d,1,-1\ne,f,1,\n",
        [AB],
        [(3, "weight is negative"), (4, "weight is not a number")],
        layout=WEIGHED,
    ),
    Hostile(
        "times",
        b"left,right,score,time\na,b,1,2020-01-02\nc,d,1,2020-13-01\ne,f,1,soon\n",
        [AB],
        [(3, "time is neither a number nor an ISO 8601 date"), (4, "time is neither a number nor an ISO 8601 date")],
        layout=TIMED,
    ),
    Hostile(
        "dates and numbers",
        b"left,right,score,time\na,b,1,2020-01-02\nc,d,1,1577923200\n",
        error="has numbers and .* has dates",
        layout=TIMED,
    ),
    # Headers and comments where columns have numbers
    *(
        Hostile(f"the header {header!r}", header + b"\n1,2,3\n4,5,6\n", [(b"1", b"2"), (b"4", b"5")], layout=NUMBERS)
        for header in (b"userId,movieId,rating", b"u,i,s", b'"user id","item.id","score"')
    ),
    Hostile("a header of texts", b"User-ID;ISBN\na;b\nc;d\n", [AB, CD], layout=PAIRS),
    Hostile("words that are no header", b"the,of\na,b\n", [AB, (b"the", b"of")], layout=PAIRS),
    Hostile("a first score that is missing", b"a,b,NA\nc,d,1\n", [CD], [(1, "score is not a number")], layout=NUMBERS),
    Hostile("the header of pandas", b"0,1,2\n4,0,3\n", error="Set data.header to true", layout=NUMBERS),
    Hostile("pairs from 0", b"0,1,2\n0,2,3\n", [(b"0", b"1"), (b"0", b"2")], layout=NUMBERS),
    Hostile("a header that is configured", b"0,1,2\n4,0,3\n", [(b"4", b"0")], layout=NUMBERS.replace(header=True)),
    Hostile(
        "a pair that is configured",
        b"user,item,1\n4,0,3\n",
        [(b"4", b"0"), (b"user", b"item")],
        layout=NUMBERS.replace(header=False),
    ),
    Hostile(
        "comments of SNAP",
        b"# Directed graph\n# Nodes: 60, edges: 2\n# From\tTo\n1\t2\n3\t4\tx\n3\t4\n",
        [(b"1", b"2"), (b"3", b"4")],
        [(5, "3 fields instead of 2")],
        file="pairs.tsv",
        layout=PAIRS,
    ),
    Hostile(
        "comments of KONECT",
        b"% bip weighted\n% 2 3 4\n1 2 1\n3 4 1\n",
        [(b"1", b"2"), (b"3", b"4")],
        file="out.txt",
        layout=NUMBERS,
    ),
    Hostile(
        "a header in a comment", b"# a file\n#left right score\na b 1\nc d x\n", [AB], [(4, "score is not a number")]
    ),
    Hostile(
        "a header after comments", b"# a, file\n" + HEADER + b"a,b,1\nc,d,x\n", [AB], [(4, "score is not a number")]
    ),
    Hostile("hash tags", b"#a,b,1\n#c,d,1\n", [(b"#a", b"b"), (b"#c", b"d")], layout=NUMBERS),
    Hostile(
        "comments everywhere",
        b"//x,y,1\n" + HEADER + b"a,b,1\n//x,y,1\n//\nc,d,x\n/,d,1\n",
        [(b"/", b"d"), AB],
        [(6, "score is not a number")],
        layout=NAMES.replace(comment="//"),
    ),
    # Quotation marks of R
    Hostile(
        "a table of R", b'"left"\t"right"\t"score"\n"a"\t"b"\t1\n"c"\t"d z"\t1\n', [AB, (b"c", b"d z")], file="p.tsv"
    ),
    Hostile(
        "a table of R with blanks",
        b'"left" "right" "score"\n"a" "b" 1\n"c" "d z" 1\n',
        [AB, (b"c", b"d z")],
        file="p.txt",
    ),
    Hostile("a table of R without a header", b'"a"\t"b"\t1\n"c"\t"d"\t1\n', [AB, CD], file="p.tsv", layout=NUMBERS),
    Hostile(
        "words in quotation marks in some rows of TSV",
        b'left\tright\tscore\n"a"\tb\t1\nc\td\t1\n',
        [(b'"a"', b"b"), CD],
        file="p.tsv",
    ),
    Hostile(
        "null words",
        HEADER + b"NA,b,1\na,null,1\nc,d,1\nNAN,f,1\n",
        [(b"NAN", b"f"), CD],
        [(2, "left id is one of data.null_words"), (3, "right id is one of data.null_words")],
        layout=NAMES.replace(null_words=("NA", "null")),
    ),
    Hostile("no such number", b"a,b\nc,d\n", error="has no column 2. It has 2 columns", layout=NUMBERS),
    Hostile("a header where none is expected", HEADER + b"a,b,1\n", [AB], layout=NUMBERS),
    Hostile(
        "a broken first row, no header", b"x\na,b,1\nc,d,1\n", [AB, CD], [(1, "1 fields instead of 3")], layout=NUMBERS
    ),
    Hostile("an unknown suffix", b"a,b,1\n", error="data.format: auto supports", file="pairs.md"),
    Hostile("an image", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)), error="is an image"),
]
