"""One bad and one good example for rules of `builtin/security/rules`, by id; samples.py has more.

Credentials are put together here, so that nothing that looks like one stands in a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from tests.support.semgrep_samples import SAMPLES

FOLDER = Path(__file__).parents[1] / "realcode" / "samples"


class Snippet(NamedTuple):
    """What a rule has to find, and what it has to leave alone."""

    suffix: str
    bad: str
    good: str


def _sampled(place: str) -> Snippet:
    bad = next((FOLDER / place).glob("bad.*"))
    good = bad.with_stem("good")
    return Snippet(bad.suffix, _filled(bad), _filled(good))


def _filled(path: Path) -> str:
    return path.read_text().replace("{{password}}", "tR7" + "xq!92mLw4")


_DASHES = "-" * 5

PYTHON = {
    "python-eval-exec": Snippet(
        ".py",
        "def f(text):\n    return eval(text)\n",
        "import json\nx = json.loads('1')\neval('1')\n",
    ),
    "python-subprocess-shell": Snippet(
        ".py",
        "import subprocess\ndef f(name):\n    subprocess.run('ls ' + name, shell=True)\n",
        "import subprocess\ndef f(name):\n    subprocess.run(['ls', name])\n"
        "    subprocess.run('ls *', shell=True)\n",
    ),
    "python-os-system": Snippet(
        ".py",
        "import os\ndef f(name):\n    os.system(f'rm {name}')\n",
        "import os\ndef f(name):\n    os.remove(name)\n    os.system('clear')\n",
    ),
    "python-sql-format": Snippet(
        ".py",
        "def f(db, name):\n    query = f\"SELECT * FROM users WHERE name = '{name}'\"\n"
        "    return db.execute(query)\n",
        "def f(db, name):\n    return db.execute('SELECT * FROM users WHERE name = ?', (name,))\n",
    ),
    "python-yaml-load": Snippet(
        ".py",
        "import yaml\ndef f(text):\n    return yaml.load(text)\n",
        "import yaml\ndef f(text):\n    return yaml.load(text, Loader=yaml.SafeLoader)\n",
    ),
    "python-pickle-load": Snippet(
        ".py",
        "import pickle\ndef f(data):\n    return pickle.loads(data)\n",
        "import json, pickle\ndef f(data):\n    pickle.dumps(data)\n    return json.loads(data)\n",
    ),
    "python-tls-unverified": Snippet(
        ".py",
        "import requests\ndef f(url):\n    return requests.get(url, verify=False)\n",
        "import requests\ndef f(url):\n    return requests.get(url, verify='ca.pem')\n",
    ),
    "python-ssh-unverified": Snippet(
        ".py",
        "import paramiko\ndef f(c):\n    c.set_missing_host_key_policy(paramiko.AutoAddPolicy())\n",
        "import paramiko\ndef f(c):\n    c.set_missing_host_key_policy(paramiko.RejectPolicy())\n",
    ),
    "python-weak-hash": Snippet(
        ".py",
        "import hashlib\ndef f(data):\n    return hashlib.md5(data).hexdigest()\n",
        "import hashlib\ndef f(data):\n    hashlib.md5(data, usedforsecurity=False)\n"
        "    return hashlib.sha256(data).hexdigest()\n",
    ),
    "python-debug-server": Snippet(
        ".py",
        "from flask import Flask\napp = Flask(__name__)\napp.run(debug=True)\n",
        "from flask import Flask\napp = Flask(__name__)\napp.run()\n",
    ),
    "python-jwt-unverified": Snippet(
        ".py",
        "import jwt\ndef f(t):\n    return jwt.decode(t, options={'verify_signature': False})\n",
        "import jwt\ndef f(t, key):\n    return jwt.decode(t, key, algorithms=['RS256'])\n",
    ),
    "python-template-from-text": Snippet(
        ".py",
        "import flask\ndef f(name):\n    return flask.render_template_string('Hi ' + name)\n",
        "import flask\ndef f(name):\n"
        "    return flask.render_template_string('Hi {{ name }}', name=name)\n",
    ),
    "python-temporary-name": Snippet(
        ".py",
        "import tempfile\npath = tempfile.mktemp()\n",
        "import tempfile\npath = tempfile.mkdtemp()\n",
    ),
    "python-archive-extract": Snippet(
        ".py",
        "import tarfile\ndef f(name):\n    with tarfile.open(name) as archive:\n"
        "        archive.extractall('out')\n",
        "import tarfile\ndef f(name):\n    with tarfile.open(name) as archive:\n"
        "        archive.extractall('out', filter='data')\n",
    ),
    "python-random-secret": Snippet(
        ".py",
        "import random\ntoken = ''.join(random.choice('abc') for _ in range(20))\n",
        "import random, secrets\ntoken = secrets.token_hex()\nside = random.randint(1, 6)\n",
    ),
    "python-xml-entities": Snippet(
        ".py",
        "import lxml.etree\nparser = lxml.etree.XMLParser(resolve_entities=True)\n",
        "import lxml.etree\nparser = lxml.etree.XMLParser(resolve_entities=False)\n",
    ),
    "python-xml-untrusted": Snippet(
        ".py",
        "from lxml import etree\ndef f(xml):\n    return etree.fromstring(xml)\n",
        "from lxml import etree\ndef f(xml):\n"
        "    return etree.fromstring(xml, etree.XMLParser(resolve_entities=False))\n",
    ),
    "python-fast-password-hash": Snippet(
        ".py",
        "import bcrypt\nsalt = bcrypt.gensalt(rounds=4)\n",
        "import bcrypt\nsalt = bcrypt.gensalt(rounds=12)\n",
    ),
    "python-random-seeded": Snippet(
        ".py",
        "import random, time\ndef new_token():\n    random.seed(time.time())\n",
        "import random\ndef shuffled(cards):\n    random.seed(7)\n",
    ),
    "python-command-from-request": Snippet(
        ".py",
        "import subprocess, flask\ndef f():\n"
        "    subprocess.run([flask.request.args['tool'], '--version'])\n",
        "import subprocess, flask\ndef f():\n"
        "    subprocess.run(['wc', '-l', '--', flask.request.args['file']])\n",
    ),
    "python-path-from-request": Snippet(
        ".py",
        "import flask\ndef f():\n    name = flask.request.args['name']\n"
        "    return open('files/' + name).read()\n",
        "import os, flask\ndef f():\n    name = os.path.basename(flask.request.args['name'])\n"
        "    return open('files/' + name).read()\n",
    ),
}

JAVASCRIPT = {
    "javascript-eval": Snippet(
        ".js",
        "export const f = (text) => eval(text);\n",
        "export const f = JSON.parse;\neval('1');\n",
    ),
    "javascript-child-process-exec": Snippet(
        ".js",
        "const { exec } = require('child_process');\nfunction f(name) { exec('ls ' + name); }\n",
        "const { exec, execFile } = require('child_process');\n"
        "function f(name) { execFile('ls', [name]); exec('ls'); /x/.exec(name); }\n",
    ),
    "javascript-inner-html": Snippet(
        ".ts",
        "function f(e: Element, text: string) { e.innerHTML = '<b>' + text; }\n",
        "function f(e: Element, text: string) { e.textContent = text; e.innerHTML = ''; }\n",
    ),
    "javascript-react-html": Snippet(
        ".jsx",
        "const A = ({ text }) => <p dangerouslySetInnerHTML={{ __html: text }} />;\n",
        "const A = ({ text }) => <p>{text}</p>;\n",
    ),
    "javascript-sql-text": Snippet(
        ".js",
        "const f = (db, id) => db.query(`SELECT * FROM a WHERE id = ${id}`);\n",
        "const f = (db, id) => db.query('SELECT * FROM a WHERE id = $1', [id]);\n",
    ),
    "javascript-tls-unverified": Snippet(
        ".js",
        "const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false });\n",
        "const agent = new https.Agent({ keepAlive: true, ca });\n",
    ),
    "javascript-weak-hash": Snippet(
        ".js",
        "const f = (t) => crypto.createHash('md5').update(t);\n",
        "const f = (t) => crypto.createHash('sha256').update(t);\n",
    ),
    "javascript-jwt-unverified": Snippet(
        ".js",
        "const f = (t) => jwt.verify(t, '', { algorithms: ['RS256', 'none'] });\n",
        "const f = (t, key) => jwt.verify(t, key, { algorithms: ['RS256'] });\n",
    ),
    "javascript-random-secret": Snippet(
        ".js",
        "const token = Math.random().toString(36);\n",
        "const token = crypto.randomBytes(16);\nconst side = Math.random() * 6;\n",
    ),
    "javascript-temporary-name": Snippet(
        ".js", "const name = tmp.tmpNameSync();\n", "const file = tmp.fileSync();\n"
    ),
    "javascript-mongo-where": Snippet(
        ".js",
        "const f = (users, name) => users.find({ $where: `this.name == '${name}'` });\n",
        "const f = (users, name) => users.find({ name: String(name) });\n",
    ),
    "javascript-fast-password-hash": Snippet(
        ".js",
        "const f = (word) => bcrypt.hash(word, 4);\n",
        "const f = (word) => bcrypt.hash(word, 12);\n",
    ),
    "javascript-path-from-request": Snippet(
        ".js",
        "app.get('/', (req, res) => { res.sendFile('files/' + req.query.name); });\n",
        "app.get('/', (req, res) => { res.sendFile(path.basename(req.query.name)); });\n",
    ),
    "javascript-redirect-from-request": Snippet(
        ".js",
        "app.get('/', (req, res) => { res.redirect(req.query.next); });\n",
        "app.get('/', (req, res) => { res.redirect('/start'); });\n",
    ),
}

SECRETS = {
    "secret-aws-key": Snippet(".cfg", "key = " + "AKIA" + "QWERTYUIOP234567\n", "key = AKIA\n"),
    "secret-private-key": Snippet(
        ".pem",
        f"{_DASHES}BEGIN RSA PRIVATE KEY{_DASHES}\n" + "aB3d" * 16 + "\n",
        f"{_DASHES}BEGIN CERTIFICATE{_DASHES}\n",
    ),
    "secret-github-token": Snippet(".env", "T=" + "ghp_" + "a1B2" * 9 + "\n", "T=ghp_short\n"),
    "secret-huggingface-token": Snippet(".env", "T=" + "hf_" + "aBcD" * 9 + "\n", "T=hf_hub\n"),
    "secret-slack-token": Snippet(".txt", "xox" + "b-1234567890-abcdef\n", "xoxb, a prefix\n"),
    "secret-service-token": Snippet(
        ".txt", "dckr_" + "pat_" + "aB3" * 9 + "\n", "dckr_pat_, a prefix\n"
    ),
    "secret-password": Snippet(
        ".py", "password = 'correct-horse-7'\n", "import os\npassword = os.environ['PASSWORD']\n"
    ),
}

SAMPLED = {rule: _sampled(place) for rule, place in SAMPLES.items()}
SNIPPETS = PYTHON | JAVASCRIPT | SECRETS | SAMPLED
