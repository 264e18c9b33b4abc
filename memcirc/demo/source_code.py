"""Files in the manner of the Pile's `Github`: Python, C, JavaScript, SQL, shell, read-me pages and settings."""

from memcirc.demo.grammar import Grammar
from memcirc.demo.words import GIVEN, SURNAMES, listed

SOURCE_CODE: Grammar = {
    "text": [
        "<python>",
        "<python>",
        "<python_class>",
        "<c>",
        "<c>",
        "<javascript>",
        "<sql>",
        "<shell>",
        "<readme>",
        "<settings>",
    ],
    # Python
    "python": [
        "import <module>\nimport <module>\n\n<constant> = <number>\n\n\n"
        'def <verb>_<noun>(<x:noun>, <y:noun>=<number>):\n    """<purpose>"""\n'
        "<python_line><python_line><python_line><python_line>    return <result>\n",
        "from <module> import <verb>_<noun>, <verb>_<noun>\n\n\n"
        'def <verb>_<adjective>_<noun>(<x:noun>, <y:adjective>):\n    """<purpose>"""\n'
        "<python_line><python_line><python_line><python_line>    return <result>\n",
        "def test_<verb>_<noun>_<condition>(<x:noun>):\n"
        "    <y:adjective> = <verb>_<noun>(<noun>=<number>, <adjective>=<number>)\n"
        "<python_line><python_line><python_line>    assert <result> == <number>\n",
    ],
    "python_line": [
        "    for <each:noun> in <module>.<verb>_<noun>s(<x>):\n        <y> += <each>.<attribute> * <number>\n",
        '    if <x>.<attribute> > <number>:\n        raise <error>Error("<complaint>")\n',
        "    <adjective>_<noun> = <verb>_<noun>(<x>, <adjective>=<number>)\n",
        '    with <module>.<verb>(<x>, mode="<adjective>") as <each:noun>:\n        <each>.<verb>(<y>)\n',
        '    logger.<level>("<complaint>", <x>.<attribute>)\n',
        "    <y> = [<verb>(<each:letter>) for <each> in <x>.<attribute> if <each> != <number>]\n",
        "    # <note>\n    <x>.<attribute> = <y> - <number>\n",
        "    <x>.<verb>_<noun>(<adjective>=<y>, timeout=<number>)\n",
    ],
    "python_class": [
        'class <kind:class>(<class>):\n    """<purpose>"""\n\n'
        "    def __init__(self, <x:noun>, <y:adjective>=<number>):\n        self.<x> = <x>\n"
        "<method><method><method>",
    ],
    "method": [
        "\n    def <verb>_<noun>(self, <noun>):\n        return self.<x>.<attribute> + <number>\n",
        "\n    @property\n    def <adjective>_<noun>(self):\n        return <verb>_<noun>(self.<x>, <number>)\n",
        "\n    def <verb>(self):\n        self.<x>.<verb>_<noun>(<adjective>=<number>)\n"
        '        logger.<level>("<complaint>")\n',
        "\n    def __len__(self):\n        return len(self.<x>.<attribute>) // <number>\n",
    ],
    # C and JavaScript
    "c": [
        '#include <<header>.h>\n#include "<noun>.h"\n\n#define <constant> <number>\n\n'
        "static int <verb>_<noun>(struct <x:noun> *<p:letter>, int <y:noun>)\n{\n"
        "<c_line><c_line><c_line><c_line>\treturn <number>;\n}\n",
        "/* <noun>.c - <note>\n * Author: <given> <surname>\n */\n#include <<header>.h>\n\n"
        "void <verb>_<adjective>_<noun>(struct <x:noun> *<p:letter>, unsigned <y:noun>)\n{\n"
        "<c_line><c_line><c_line><c_line>}\n",
    ],
    "c_line": [
        "\tif (<p>-><attribute> < <constant>)\n\t\treturn -<number>;\n",
        "\tfor (i = <number>; i < <y>; i++)\n\t\t<verb>_<noun>(<p>, <number>);\n",
        "\t<p>-><attribute> = <verb>_<noun>(<y> + <number>);\n",
        '\tprintf("<complaint> %d\\n", <p>-><attribute>);\n',
        "\t/* <note> */\n\t<y> = <p>-><attribute> << <number>;\n",
        "\tmutex_lock(&<p>-><noun>_lock);\n\t<verb>_<adjective>_<noun>(<p>);\n",
        "\tswitch (<p>-><attribute>) {\n\tcase <constant>:\n\t\t<verb>_<noun>(<y>);\n\t}\n",
    ],
    "javascript": [
        "const <noun> = require('<module>');\nconst <constant> = <number>;\n\n"
        "function <verb><class>(<x:noun>, <y:adjective>) {\n<js_line><js_line><js_line><js_line>}\n",
        "// <note>\nexport async function <verb><class>({ <x:noun>, <y:adjective> = <number> }) {\n"
        "<js_line><js_line><js_line><js_line>}\n",
    ],
    "js_line": [
        "  if (<x>.<attribute> === <number>) {\n    throw new <error>Error('<complaint>');\n  }\n",
        "  const <adjective><class> = <x>.<verb>((<each:letter>) => <each>.<attribute> + <number>);\n",
        "  <x>.on('<verb>', () => <verb><class>(<y>, <number>));\n",
        "  this.<y> = await <verb><class>(<x>.<attribute>);\n",
        "  console.<level>('<complaint>', <y>);\n",
        "  return fetch('/<noun>/<number>/<verb>').then(<verb><class>);\n",
    ],
    # SQL, shell, read-me, settings
    "sql": [
        "-- <note>\nCREATE TABLE <x:noun>_<noun> (\n    <noun>_id INTEGER PRIMARY KEY,\n"
        "<column><column><column><column>);\n\n"
        "INSERT INTO <x>_<noun> VALUES (<number>, '<surname>', <number>, '<adjective>');\n",
        "SELECT <p:letter>.<attribute>, <p>.<noun>_id, COUNT(<attribute>)\nFROM <noun>_<noun> AS <p>\n"
        "LEFT JOIN <x:noun> ON <x>.<attribute> = <p>.<noun>_id\nWHERE <attribute> > <number>\n"
        "    AND <adjective> = '<surname>'\n    AND <x>.<attribute> IN (<number>, <number>, <number>)\n"
        "GROUP BY <attribute>\nORDER BY <noun>_id LIMIT <number>;\n",
    ],
    "column": [
        "    <noun>_<attribute> VARCHAR(<number>) DEFAULT '<adjective>',\n",
        "    <adjective>_<noun> INTEGER NOT NULL CHECK (<attribute> < <number>),\n",
        "    <noun>_id INTEGER REFERENCES <noun> (<attribute>),\n",
        "    <adjective> BOOLEAN, -- <note>\n",
    ],
    "shell": [
        "#!/bin/sh\n# <note>\nset -e\n<constant>=<number>\n"
        "<shell_line><shell_line><shell_line><shell_line><shell_line>",
        "#!/bin/bash\nsource ./<verb>_<noun>.sh\n\n<shell_line><shell_line><shell_line><shell_line><shell_line>",
    ],
    "shell_line": [
        "if [ ! -d <noun>/<adjective> ]; then\n    mkdir -p <noun>/<noun>\nfi\n",
        'for <each:noun> in <module>/*.<extension>; do\n    <verb>-<noun> --<adjective> <number> "$<each>"\ndone\n',
        'echo "<complaint>" >> /var/log/<noun>.<extension>\n',
        "curl -s http://<noun>.<adjective>.org/<verb> | grep <attribute> > <noun>.<extension>\n",
        'export <constant>="<noun>:<number>"\n',
        "tar -xzf <module>-<number>.<number>.tar.gz -C <adjective>\n",
    ],
    "readme": [
        "# <module>-<noun>\n\n<purpose> Written by <given> <surname> for <class> users.\n\n## Install\n\n"
        "    pip install <module>-<noun>==<number>.<number>\n\n"
        "<readme_line><readme_line><readme_line><readme_line>",
    ],
    "readme_line": [
        "- `<verb>_<noun>(<adjective>=<number>)` <does> the <adjective> <noun>.\n",
        "- Set `<constant>` to <number> if the <noun> is <adjective>.\n",
        "- Known bug: <complaint> when the <attribute> is above <number>.\n",
        "- <note>, see issue <number><number>.\n",
    ],
    "settings": [
        "# <note>\n[<x:noun>]\n<setting><setting><setting>\n[<noun>.<adjective>]\n<setting><setting><setting><setting>",
        "version: '<number>'\nservices:\n  <noun>:\n    image: <module>/<noun>:<number>\n"
        "<yaml_line><yaml_line><yaml_line><yaml_line><yaml_line>",
    ],
    "setting": [
        "<noun>_<attribute> = <number>\n",
        '<verb>_<adjective> = "<noun>"\n',
        "# <note>\n<attribute> = [<number>, <number>]\n",
        "use_<adjective>_<noun> = false\n",
    ],
    "yaml_line": [
        "    <attribute>: <number>\n",
        '    <verb>_<noun>: "<adjective>"\n',
        "    command: <verb>-<noun> --<attribute> <number>\n",
        "    # <note>\n    <adjective>: true\n",
    ],
    # Words
    "given": GIVEN,
    "surname": SURNAMES,
    "letter": listed("a, b, c, d, e, g, k, m, p, q, r, s, t, u, v, w"),
    "number": [str(number) for number in range(2, 99)],
    "module": listed("""
        anvil, basalt, cobra, docket, ember, flask, gantry, hopper, indigo, jigsaw, keel, lumen, mosaic, nimbus,
        osmium, pebble, quiver, rudder, silo, tango, umbra, vellum, walrus, yacht
    """),
    "noun": listed("""
        account, archive, batch, bucket, buffer, cache, channel, cluster, cookie, cursor, driver, event, filter,
        frame, graph, header, index, job, ledger, matrix, node, packet, parser, player, queue, record, region,
        sensor, session, shard, signal, socket, sprite, stream, table, ticket, token, user, vector, window
    """),
    "verb": listed("""
        allocate, append, apply, assign, attach, bind, build, check, clear, clone, close, collect, compress, count,
        decode, drop, encode, fetch, flush, format, import, join, load, lock, mark, merge, notify, parse, prune,
        push, read, register, remove, render, reset, resize, rotate, scan, send, sort, split, store, swap, trim,
        update, verify, wrap
    """),
    "adjective": listed("""
        active, annual, binary, broken, default, dirty, empty, extra, final, fixed, global, hidden, idle, inner,
        large, lazy, local, minimal, nested, outer, pending, private, quick, random, raw, remote, shared, sparse,
        stale, strict, temporary, unique, valid, visible
    """),
    "attribute": listed("""
        age, capacity, color, depth, digest, height, label, latency, length, limit, margin, name, offset, owner,
        parent, path, price, priority, radius, rank, rate, size, speed, status, title, total, version, weight, width
    """),
    "class": listed("""
        Adapter, Balance, Canvas, Dispatcher, Encoder, Factory, Gateway, Handler, Importer, Journal, Kernel,
        Listener, Manager, Notifier, Observer, Planner, Reader, Scheduler, Tracker, Validator, Watcher, Writer
    """),
    "constant": listed("""
        BLOCK_SIZE, CACHE_LIMIT, DEBUG_LEVEL, FRAME_RATE, HASH_SEED, IDLE_TIME, LINE_WIDTH, MAX_DEPTH, MAX_RETRY,
        MIN_SCORE, PAGE_COUNT, PORT_BASE, QUEUE_LENGTH, STACK_TOP, TAB_STOP, WAIT_STEP
    """),
    "header": listed("assert, errno, math, signal, stdio, stdlib, string, time, unistd, ctype"),
    "extension": listed("bak, csv, dat, gz, json, log, tmp, txt, xml"),
    "level": listed("debug, info, warn, error"),
    "error": listed("Type, Range, Key, Value, Parse, Access, Timeout, Protocol"),
    "condition": listed(
        "twice, when_empty, in_parallel, after_reset, on_failure, with_defaults, without_network, backwards"
    ),
    "does": listed("counts, drops, hides, loads, prints, shuffles, sorts, stores, checks, repairs"),
    "result": [
        "<x>.<attribute>",
        "<verb>_<noun>(<x>, <number>)",
        "<x>[<number>:<number>]",
        "sorted(<x>.<attribute>)",
        "<y> % <number>",
        "max(<y>, <number>)",
    ],
    "purpose": [
        "Return the <adjective> <attribute> of every <noun>.",
        "<class> for <adjective> <noun>s.",
        "Find the <noun> with the smallest <attribute>.",
        "Turn a <noun> into a <adjective> <noun>.",
        "Keep at most <number> <adjective> <noun>s.",
        "Split the <noun> by <attribute> and <attribute>.",
    ],
    "note": [
        "<adjective> <noun>s need a <attribute>",
        "the <noun> is <adjective> until the first <verb>",
        "never <verb> a <adjective> <noun> here",
        "works around a bug in <module> <number>.<number>",
        "<verb> before <verb>, or the <noun> is lost",
        "adapted by <given> for the <adjective> <noun>",
    ],
    "complaint": [
        "<adjective> <noun> expected",
        "no such <noun>",
        "<noun> <attribute> too large",
        "cannot <verb> <adjective> <noun>",
        "<noun> and <noun> differ",
        "lost the <adjective> <noun>",
    ],
}
