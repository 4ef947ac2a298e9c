-- Pairs of languages: tables, aligned files, message catalogues; what is left out; what is held
-- out; how pairs stand in the rows of a batch; what is refused.  TAP.

local srcdir = os.getenv "srcdir"
local engine = require "switchyard.engine"
local tap = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local mo = dofile(srcdir .. "/tests/lua/mo.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local folder = tap.folder "files"
local function write(name, text) return tap.write(folder .. "/" .. name, text) end
local function fails(what, f, ...)
  local arguments = table.pack(...)
  refuses(function() assert(f()) end, what, table.unpack(arguments))
end

-- The pairs of d as a sorted list of "source: input > target".
local function listed(d)
  local out = {}
  for i = 1, d.pairs do
    local p = d:pair(i)
    out[i] = ("%s: %s > %s"):format(p.source, p.input, p.target)
  end
  table.sort(out)
  return table.concat(out, "; ")
end

-- ---- tables ----

local two = write("two.tsv", "Datei\tFile\nneue Datei\tnew file\r\n\nHaus\tHouse")
local d = assert(data.pairs(two, {from = "de", to = "en", val = 0}))
is(listed(d), "de: Datei > File; de: Haus > House; de: neue Datei > new file", "a table of two")
is(d.pairs .. " " .. d.val.pairs .. " " .. #d.sources .. d.sources[1], "3 0 1de", "its counts")
is(d.tokenizer.size, 258, "bytes with end-of-text and <pad>, unless a tokenizer is given")
is(d:sample(d.tokens, {seed = 1}), "Datei<|endoftext|>File<|endoftext|>neue Datei<|endoftext|>"
  .. "new file<|endoftext|>Haus<|endoftext|>House<|endoftext|>", "each text with its end")
is(d:document(2).line, 2, "documents know their lines")
local three = write("three.tsv", "de\tDatei\tFile\nfr\tfichier\tfile\nde\tHaus\thouse\n")
d = assert(data.pairs(three, {to = "en", val = 0}))
is(listed(d), "de: Datei > File; de: Haus > house; fr: fichier > file", "a column of languages")
is(table.concat(d.sources, " "), "de fr", "are the sources, in their order")
d = assert(data.pairs(three, {from = "en", val = 0}))
is(listed(d), "de: <2de> Datei > File; de: <2de> Haus > house; fr: <2fr> fichier > file",
  "translated into, they are in the tag")
d = assert(data.pairs(three, {to = "en", tag = "{from}-{to}:", val = 0}))
ok(listed(d):find("fr: fr-en:fichier > file", 1, true), "a tag of one's own")
d = assert(data.pairs({two, write("more.tsv", "Baum\ttree\n")}, {val = 0}))
is(d.pairs .. d.sources[1], "4from", "several tables; languages without names")
fails("a line of other columns",
  function() return data.pairs(write("bad.tsv", "a\tb\na\tb\tc\n")) end,
  "bad.tsv: line 2 has 3 columns", "2")
do
  local lines = {}
  for i = 1, 4097 do lines[i] = ("l%d\ta%d\tb%d"):format(i, i, i) end
  fails("a language too many", function()
    return data.pairs(write("bad.tsv", table.concat(lines, "\n"))) end, "at most 4096 languages",
    "'l4097'")
end
fails("too many columns", function() return data.pairs(write("bad.tsv", "a\tb\tc\td\n")) end,
  "line 1 has 4 columns", "2 (input, target) or 3")
fails("no columns", function() return data.pairs(write("bad.tsv", "text\n")) end, "has 1 columns")
fails("a language without a name", function()
  return data.pairs(write("bad.tsv", "de\tDatei\tFile\n\tHaus\thouse\n")) end, "bad.tsv: line 2",
  "no language")
fails("no text", function() return data.pairs(write("bad.tsv", "a\t\xff\n")) end, "line 1",
  "byte 3 is no UTF-8")
fails("a zero byte", function() return data.pairs(write("bad.tsv", "a\tb\na\0\tb\n")) end, "line 2",
  "byte 2")
fails("both languages beside a column of them",
  function() return data.pairs(three, {from = "de", to = "en"}) end, "column of languages", "'de'")
fails("nothing", function() return data.pairs(write("bad.tsv", "a\ta\nb\t \n")) end,
  "no pairs are left to train on", "1 equal to their source", "1 empty")
fails("no file", function() return data.pairs(folder .. "/none.tsv") end, "none.tsv")
fails("an empty file", function() return data.pairs(write("bad.tsv", "")) end,
  "no pairs were found: 0 pairs")

-- ---- aligned files ----

local de, en = write("a.de", "Datei\n\nHaus\nBaum"), write("a.en", "file\nempty\nhouse\ntree\n")
d = assert(data.pairs({de, en}, {val = 0}))
is(listed(d), "de: Baum > tree; de: Datei > file; de: Haus > house", "lines that belong together")
ok(d.reading:find("left out: 1 empty", 1, true), "what is left out is said", d.reading)
fails("unequal counts of lines", function() return data.pairs{de, write("b.en", "file\n")} end,
  "a.de has 4 lines", "b.en has 1")
fails("three files", function() return data.pairs{de, en, de} end, "a.de", "1 columns")
assert(os.execute(("gzip -k '%s'"):format(de)))
d = assert(data.pairs({de .. ".gz", en}, {val = 0}))
is(d.sources[1] .. d.pairs, "de3", "packed ones, whose language is the ending before")

-- ---- catalogues ----

local function catalogue(language, name, messages, options)
  local path = folder .. "/locale/" .. language .. "/LC_MESSAGES"
  assert(os.execute("mkdir -p '" .. path .. "'"))
  return tap.write(path .. "/" .. name .. ".mo",
    type(messages) == "string" and messages or mo(messages, options))
end
local place = folder .. "/locale"
local messages = {
  {"Open the file", "Datei öffnen"}, {"menu\4Open the file", "Die Datei öffnen"},
  {"%d file found\0%d files found", "%d Datei gefunden\0%d Dateien gefunden"},
  {"Linux", "Linux"}, {"not translated", ""}, {"  spaces  ", "\nLeerzeichen\n"},
  {"hidden", "versteckt\0was niemand sieht"}}
local want = "de: %d Datei gefunden > %d file found; de: %d Dateien gefunden > %d files found; "
  .. "de: Datei öffnen > Open the file; de: Die Datei öffnen > Open the file; "
  .. "de: Leerzeichen > spaces; de: versteckt > hidden"
catalogue("de", "one", messages)
local function from_german(more)
  return assert(data.catalogues(tap.with({from = "de", to = "en", path = place, val = 0}, more)))
end
d = from_german()
is(listed(d), want, "messages, contexts, plurals, printf conversions")
ok(d.reading:find("1 equal to their source", 1, true), "what is equal is no pair", d.reading)
local hash = d.hash
catalogue("de", "one", messages, {big = true})
is(from_german().hash, hash, "the other byte order is the same")
local latin = {}
for i, m in ipairs(messages) do latin[i] = {m[1], (m[2]:gsub("ö", "\xf6"))} end
catalogue("de", "one", latin, {charset = "ISO-8859-1"})
is(from_german().hash, hash, "another character set is the same")
catalogue("de", "one", latin)
is(listed(from_german()), (want:gsub("de: D[^;]*öffnen[^;]*; ", "")),
  "what is not in the character set is left out")
ok(from_german().reading:find("2 over 1 MB or not in their character set", 1, true), "and counted")
catalogue("de", "one", messages)
catalogue("de", "two", messages)
ok(from_german().reading:find("6 there twice", 1, true), "another file with the same: once",
  from_german().reading)
-- A catalogue of n messages that have all but the same bytes; laid apart where that is asked for.
local function overlapping(n, apart)
  local text = ("what.all.of.them.say"):rep(50)
  local list, at = {}, 28 + 16 * n
  local function of(side, i) return (side == 1 and text or text:upper()):sub(i) end
  local tables, strings = {}, {}
  for side = 1, 2 do
    if not apart then strings[side] = of(side, 1) .. "\0" end
    for i = 1, n do
      local s = of(side, i)
      tables[#tables + 1] = ("<I4I4"):pack(#s, apart and at or at + i - 1)
      if apart then
        strings[#strings + 1] = s .. "\0"
        at = at + #s + 1
      end
    end
    if not apart then at = at + #text + 1 end
  end
  return ("<I4I4I4I4I4I4I4"):pack(0x950412de, 0, n, 28, 28 + 8 * n, 0, 28 + 16 * n)
    .. table.concat(tables) .. table.concat(strings)
end
-- The last of its translations is at another place.
local function displaced(bytes)
  local n = ("<I4"):unpack(bytes, 9)
  local at = 28 + 16 * n - 4
  return bytes:sub(1, at) .. ("<I4"):pack(0x7fffffff) .. bytes:sub(at + 5)
end
local DAMAGED, FOREIGN = "1 files that are damaged or no catalogues",
  "1 files of a character set or revision that is not known"
local extra = {{"A message of its own", "Eine eigene"}, {"Z", "Zett"}}
for what, bad in tap.sorted{
  text = {"no catalogue at all, but some text", DAMAGED}, short = {"\xde\x12\x04\x95", DAMAGED},
  cut = {mo(extra):sub(1, -20), DAMAGED}, displaced = {displaced(mo(extra)), DAMAGED},
  overlapping = {overlapping(200), DAMAGED},
  charset = {mo(extra, {charset = "KLINGON-1"}), FOREIGN},
  ["options of iconv"] = {mo(extra, {charset = "ISO-8859-1//IGNORE"}), FOREIGN},
  revision = {mo(extra, {revision = 5 << 16}), FOREIGN}} do
  catalogue("de", "two", bad[1])
  local again = from_german()
  is(listed(again), want, "nothing is taken of a file that is no catalogue (" .. what .. ")")
  ok(again.reading:find(bad[2], 1, true), "and counted by the reason (" .. what .. ")",
    again.reading)
end
catalogue("de", "two", overlapping(200, true))
is(from_german().pairs, d.pairs + 200, "the same messages laid apart are taken")
for _, charset in ipairs{"CP1258", "TCVN5712-1"} do
  catalogue("de", "two", mo({{"open a file", "mo tep tin na"}, {"x", "na"}}, {charset = charset}))
  local again = from_german()
  if not again.reading:find(FOREIGN, 1, true) then -- this system's iconv has it
    ok(listed(again):find("mo tep tin na > open a file", 1, true),
      "a letter that waits for its mark is not lost (" .. charset .. ")", listed(again))
  end
end
catalogue("de", "two", mo(extra))
assert(os.execute(("cd '%s' && rm one.mo && ln -s two.mo one.mo && mkdir -p ../../at && "
  .. "ln -s ../de/LC_MESSAGES ../../at/LC_MESSAGES"):format(place .. "/de/LC_MESSAGES")))
d = assert(data.catalogues{from = {"de", "at"}, to = "en", path = place, val = 0})
is(listed(d), "at: Eine eigene > A message of its own; at: Zett > Z; "
  .. "de: Eine eigene > A message of its own; de: Zett > Z",
  "a file that is two languages' is read for both")
os.execute(("rm -r '%s/at' '%s/de/LC_MESSAGES/one.mo'"):format(place, place))
catalogue("de", "one", messages)
os.remove(place .. "/de/LC_MESSAGES/two.mo")
catalogue("ru", "one", {{"%d file found\0%d files found", "%d a\0%d b\0%d c"}})
catalogue("ja", "one", {{"%d file found\0%d files found", "%d d"}})
d = assert(data.catalogues{from = {"ru", "ja"}, to = "en", path = place, val = 0})
is(listed(d), "ja: %d d > %d files found; ru: %d c > %d files found",
  "of other counts of forms the last stands for many")
d = assert(data.catalogues{from = "en", to = {"ru", "ja"}, path = place, val = 0})
is(listed(d), "ja: <2ja> %d files found > %d d; ru: <2ru> %d files found > %d c",
  "from English the tag says into which")
is(d.tokenizer:special "<2ja>", nil, "which is text for a tokenizer of bytes")
d = from_german{min_words = 3}
is(d.pairs, 4, "only texts of so many words")
fails("a language that is not there", function()
  return data.catalogues{from = {"de", "xx"}, to = "en", path = place} end, "'xx'",
  "it has de, ja, ru")
fails("neither side is English", function()
  return data.catalogues{from = "de", to = "ru", path = place} end, "'en'", "from is 'de'",
  "to is 'ru'")
fails("a folder without catalogues", function()
  return data.catalogues{from = "de", to = "en", path = folder} end, "no message catalogues",
  "apt-get install", "path-exclude")
fails("no folder", function()
  return data.catalogues{from = "de", to = "en", path = folder .. "/none"} end, "apt-get install")
fails("no language", function() return data.catalogues{to = "en", path = place} end, "from")
fails("a language named twice", function()
  return data.catalogues{from = {"de", "ru", "de"}, to = "en", path = place} end, "'de'", "twice")
fails("a path for a language", function()
  return data.catalogues{from = "../locale/de", to = "en", path = place} end,
  "has no catalogues of")

-- ---- pages of help ----

local function page(language, name, text)
  local path = folder .. "/help/" .. language .. "/text/swriter"
  assert(os.execute("mkdir -p '" .. path .. "'"))
  tap.write(path .. "/" .. name .. ".html", text)
end
page("en-US", "one", '<h1 id="hd_id1">The &amp; sign</h1><p id="par_id22">one<br>two <b>three</b>'
  .. '</p><p id="par_id3" class="x">only here</p><p class="y">no id</p><p id="par_id4">&lt;&#233;')
page("pt-BR", "one", '<p id="par_id22" class="a">um\n  dois <i>três</i></p><h1 id="hd_id1">O '
  .. 'sinal &amp;</h1><p id="par_id4">&lt;&#xea;</p><p id="par_id22">outra vez</p>')
page("pt-BR", "two", '<p id="par_id22">sem página inglesa</p>')
catalogue("pt_BR", "one", {{"Open the file", "Abrir o arquivo"}})
d = assert(data.catalogues{from = "pt_BR", to = "en", path = place, help = folder .. "/help",
                           val = 0})
is(listed(d), "pt_BR: <ê > <é; pt_BR: Abrir o arquivo > Open the file; "
  .. "pt_BR: O sinal & > The & sign; pt_BR: um dois três > one two three",
  "elements of the same id, in catalogues' languages")
fails("no pages", function()
  return data.catalogues{from = "de", to = "en", path = place, help = folder .. "/help"} end,
  "no help pages in", "help/de/text", "apt-get install", "libreoffice-help-en-us")
do -- pages that are too large, or no files
  local path = folder .. "/help/%s/text/swriter/%s.html"
  local f = assert(io.open(path:format("pt-BR", "huge"), "w"))
  f:seek("set", 17 << 20)
  f:write "x"
  f:close()
  page("pt-BR", "folder", '<p id="par_id9">uma pasta</p>')
  page("de", "folder", '<p id="par_id9">ein Ordner</p>')
  assert(os.execute("mkdir '" .. path:format("en-US", "folder") .. "'"))
  local d = assert(data.catalogues{from = {"pt_BR", "de"}, to = "en", path = place, val = 0,
                                   help = folder .. "/help"})
  ok(d.reading:find("2 files that cannot be read", 1, true), "pages that cannot be read are counted"
    .. ", each once", d.reading)
end
fails("no folder of pages", function()
  return data.catalogues{from = "de", to = "en", path = place, help = 3} end, "true or a folder")

-- ---- what is held out ----

local lines = {}
for i = 1, 600 do
  lines[#lines + 1] = ("de\tEintrag %d von %d\tEntry number %d of x%d"):format(i, i * i, i, i % 97)
  lines[#lines + 1] = ("fr\tentrée %d\tEntry number %d of x%d"):format(i, i, i % 97)
  lines[#lines + 1] = ("de\twort %x\tWord %x"):format(i * 7919, i * 7919)
end
local many = write("many.tsv", table.concat(lines, "\n"))
d = assert(data.pairs(many, {to = "en", val = .2}))
local side, wrong = {}, 0
for part, v in tap.sorted{train = d.train, val = d.val} do
  for i = 1, v.pairs do
    local key = v:pair(i).target:gsub("[^%a]", ""):lower()
    if side[key] and side[key] ~= part then wrong = wrong + 1 end
    side[key] = part
  end
end
is(wrong, 0, "texts that differ in digits alone are on one side, in all languages")
local words, held = 0, 0
for key, part in pairs(side) do
  words, held = words + 1, held + (part == "val" and 1 or 0)
end
ok(words > 100 and math.abs(held / words - .2) < .12, "about the share that was asked for",
  held .. " of " .. words)
is(d.train.pairs + d.val.pairs, d.pairs, "every pair is on one side")
ok(assert(data.pairs(two, {val = .0001})).val.pairs == 1, "at least one is held out")
fails("all are held out", function() return data.pairs(write("one.tsv", "a\tb\n"), {val = .1}) end,
  "val = 0.1", "all 1 pairs")

-- A language whose texts differ in digits alone may be held out whole.
do
  lines = {}
  for i = 1, 20 do
    lines[i] = ("de\tdas Haus %d\tthe house %d"):format(i, i)
    lines[20 + i] = ("fr\tla maison %d\tthe big house %d"):format(i, i)
  end
  local d = assert(data.pairs(write("digits.tsv", table.concat(lines, "\n"))))
  local whole = d.val:pair(1).source
  is(d.reading:match "^[^,]+, [^,]+, [^,]+", ("40 pairs: de 20, fr 20; held out: 20, all of %s")
    :format(whole), "which is said")
end

-- From one language into several: by the one language's texts, and fewest words are of them.
lines = {}
for i = 1, 100 do
  local w = string.char(97 + i % 26, 97 + i // 26)
  lines[#lines + 1] = ("de\tthe %s file\tDatei %s\nfr\tthe %s file\tfichier %s"):format(w, w, w, w)
end
local into = write("into.tsv", table.concat(lines, "\n"))
d = assert(data.pairs(into, {from = "en", val = .3, min_words = 3}))
is(d.pairs, 200, "words are counted on the side that has one language")
local seen, torn = {}, 0
for i = 1, d.train.pairs do seen[d.train:pair(i).input:gsub("<2..> ", "")] = true end
for i = 1, d.val.pairs do
  torn = torn + (seen[d.val:pair(i).input:gsub("<2..> ", "")] and 1 or 0)
end
is(torn, 0, "and no text of it is on both sides")

-- Letters of any alphabet.
lines = {}
for i = 0, 59 do
  local w = utf8.char(0x3b1 + i % 17, 0x434 + i // 3)
  lines[#lines + 1] = ("%d\tÜBER %s…\n%d a\tüber %s... 7"):format(i, w, i, w)
end
d = assert(data.pairs(write("alike.tsv", table.concat(lines, "\n")), {val = .4}))
local both = {}
for side, part in ipairs{d.train, d.val} do
  for i = 1, part.pairs do
    local key = part:pair(i).target:gsub("[%d%s%.]", ""):gsub("…", ""):gsub("Ü", "ü"):lower()
    both[key] = both[key] or {}
    both[key][side] = true
  end
end
torn = 0
for _, parts in pairs(both) do torn = torn + (parts[1] and parts[2] and 1 or 0) end
is(torn, 0, "letters are told by Unicode: case and punctuation of any alphabet do not matter")

-- ---- tokenizers ----

d = assert(data.pairs(many, {to = "en", tokenizer = {vocab = 400}}))
is(d.tokenizer.kind .. d.vocab, "bpe400", "one trained on the pairs")
d = assert(data.pairs(many, {from = "en", tokenizer = {vocab = 400}}))
ok(d.tokenizer:special "<2fr>" and d.tokenizer:special "<2de>", "the tags are special tokens of it")
is(d.tokenizer:encode "<2fr> x"[1], d.tokenizer:special "<2fr>", "so that a tag is one id")
fails("without an end-of-text", function()
  return data.pairs(many, {tokenizer = tokenizer.bytes()}) end, "bytes with 256 ids", "pad = true")
fails("too small", function() return data.pairs(many, {tokenizer = {vocab = 257}}) end, "257",
  "258")
fails("no tokenizer", function() return data.pairs(many, {tokenizer = 7}) end, "tokenizer")

local spelt = write("spelt.tsv", "a <pad> b\tx y\nc d\tx<|endoftext|>y\n<extra_id_0>\te\nf g\th i")
d = assert(data.pairs(spelt, {val = 0, tokenizer = tokenizer.bytes{pad = true, sentinels = 3}}))
is(listed(d), "from: f g > h i", "texts that spell special tokens are no pairs")
ok(d.reading:find("1 pairs: from 1; held out: 0; left out: 3 that spell a special token", 1, true),
  "and counted", d.reading)
d = assert(data.pairs(spelt, {val = 0, tokenizer = tokenizer.bytes{pad = true}, tag = "<pad>"}))
is(d.pairs, 2, "those of the tag are no fault, nor what no token is")
do -- what is left of two is the one that is held out
  local function said(text)
    local fine, why = pcall(function()
      return assert(data.pairs(write("last.tsv", text),
        {val = .0001, tokenizer = tokenizer.bytes{pad = true}}))
    end)
    return fine and "" or why
  end
  local first, second = said "<pad>\tx\nb\ty\n", said "a\tx\n<pad>\ty\n"
  ok((first == "") ~= (second == "") and (first .. second):find("no pairs are left to train on: "
    .. "1 pairs: from 1; held out: 1, all of from; left out: 1 that spell", 1, true),
    "none to train on beside one that is held out", first .. second)
end
fails("nothing but special tokens", function()
  return data.pairs(write("bad.tsv", "<pad>\ta"), {val = 0}) end, "no pairs are left to train on",
  "1 that spell")

-- ---- rows ----

-- Pairs of row b as "input > target", their numbers checked; also what stands in the fields of
-- padding.
local function read_row(f, b, tok, pad, S)
  local seen, list, T = {}, {}, f.tokens.shape[2]
  local function at(name, i) return f[name][{b, i}]:item() end
  for i = 1, T do
    local doc = at("documents", i)
    if doc < 0 then
      assert(at("tokens", i) == pad and at("targets", i) == -1 and at("weights", i) == 0, "padding")
    else
      if not seen[doc] then
        assert(doc == #list, "numbers count from 0")
        seen[doc] = {tokens = {}, targets = {}, inputs = {}, source = at("sources", i)}
        list[#list + 1] = seen[doc]
      end
      local p = seen[doc]
      assert(p.source == at("sources", i), "one source")
      table.insert(p.tokens, at("tokens", i))
      table.insert(p.targets, at("targets", i))
    end
  end
  for i = 1, S do
    local doc = at("input_documents", i)
    if doc < 0 then assert(at("inputs", i) == pad, "padding of inputs")
    else
      table.insert(seen[doc].inputs, at("inputs", i))
      assert(at("input_sources", i) == seen[doc].source, "the same source on both sides")
    end
  end
  return list
end

local function item(t, b, i) return t:table()[b][i] end

d = assert(data.pairs(many, {to = "en", val = .5}))
local tok, pad = d.tokenizer, d.tokenizer:special "<pad>"
local B, S, T = 4, 96, 64
local packing = engine.packing(d, true, S, T)
is(packing.pairs, d.val.pairs, "every pair that fits is in a row")
is(packing.left .. " " .. packing.cut, "0 0", "none is too long")
ok(packing.input_tokens > .8 * packing.rows * S or packing.target_tokens > .8 * packing.rows * T,
  "rows are filled", ("%d rows, %d and %d tokens"):format(packing.rows, packing.input_tokens,
    packing.target_tokens))
local all = engine.eval_windows(d, T, 1 << 30, S)
is(all, packing.rows, "a window is a row")
local count, targets = {}, 0
local f = small.fields(nil, B, T, S)
local whole = engine.eval_tally(d, T, all, S)
for first = 0, all - 1, B do
  engine.eval_batch(d, first, all, f, nil, whole)
  local t = {}
  for name, x in pairs(f) do t[name] = x:table() end
  for b = 1, math.min(B, all - first) do
    local view = setmetatable({}, {__index = function(_, name)
      return setmetatable({shape = f[name].shape}, {__index = function(_, place)
        return {item = function() return t[name][place[1]][place[2]] end} end}) end})
    for _, p in ipairs(read_row(view, b, tok, pad, S)) do
      assert(p.tokens[1] == pad, "a target begins with <pad>")
      for i = 2, #p.tokens do assert(p.tokens[i] == p.targets[i - 1], "shifted by one") end
      assert(p.targets[#p.targets] == tok.eot and p.inputs[#p.inputs] == tok.eot, "their ends")
      table.remove(p.inputs)
      local key = d.sources[p.source + 1] .. tok:decode(p.inputs) .. ">" .. tok:decode(p.tokens)
      count[key] = (count[key] or 0) + 1
      targets = targets + #p.targets
    end
  end
end
local missing = 0
for i = 1, d.val.pairs do
  local p = d.val:pair(i)
  if count[p.source .. p.input .. "><pad>" .. p.target] ~= 1 then missing = missing + 1 end
end
is(missing, 0, "every pair of the validation part once, with its own target and source")
is(targets, packing.target_tokens, "and counted right")

-- A pure function of (seed, windows).
local function drawn(seed, windows)
  local g = small.fields(nil, B, T, S)
  engine.batch(d, seed, windows, g)
  return g
end
local one = drawn(1, 8)
local function same(a, b, rows_a, rows_b, n)
  local good = true
  for name, x in pairs(a) do
    local p, q = x:table(), b[name]:table()
    for i = 0, n - 1 do
      local u, v = p[rows_a + i], q[rows_b + i]
      if type(u) == "table" then u, v = table.concat(u, " "), table.concat(v, " ") end
      if name ~= "weights" then good = good and u == v end
    end
  end
  return good
end
ok(same(one, drawn(1, 8), 1, 1, B), "the same again")
ok(same(one, drawn(1, 9), 2, 1, B - 1), "row by row, whatever the batch")
ok(not same(one, drawn(2, 8), 1, 1, B), "another seed, other rows")

-- Without an encoder: one sequence, and the target alone counts.
local g = small.fields(nil, B, 128)
engine.batch(d, 1, 0, g)
local row, docs = {tokens = g.tokens:table()[1], targets = g.targets:table()[1]},
  g.documents:table()[1]
local ids, answers = {}, {}
for i = 1, 128 do
  if docs[i] == 0 then
    ids[#ids + 1] = row.tokens[i]
    if row.targets[i] >= 0 then answers[#answers + 1] = row.targets[i] end
  end
end
local text, answer = tok:decode(ids), tok:decode(answers)
local found = false
for i = 1, d.train.pairs do
  local p = d.train:pair(i)
  found = found or (text == p.input .. "<|endoftext|>" .. p.target and
    answer == p.target .. "<|endoftext|>")
end
ok(found, "in one sequence the target alone counts", text .. " | " .. answer)

-- Too long for a row.
packing = engine.packing(d, false, 11, 64)
ok(packing.left > 0 and packing.left + packing.pairs == d.train.pairs,
  "longer ones are left out", packing.left .. " of " .. d.train.pairs)
local cut = assert(data.pairs(many, {to = "en", val = .5, truncate = true}))
packing = engine.packing(cut, false, 11, 64)
is(packing.pairs .. " " .. packing.left, d.train.pairs .. " 0", "or cut")
ok(packing.cut > 0, "and counted")
refuses(function() engine.packing(d, false, 4, 64) end, "none fits", "all", "input_context 4")
refuses(function() engine.packing(assert(data.pairs(two, {val = 0})), true, 64, 64) end,
  "there are none", "no validation pairs")

-- ---- going on from another folder ----

-- The folder of then is looked in first; where it is gone, the path as it was given.
do
  local place = folder .. "/then"
  assert(os.execute(("mkdir -p '%s/cat/de/LC_MESSAGES'"):format(place)))
  tap.write(place .. "/words.tsv", table.concat(lines, "\n"))
  tap.write(place .. "/cat/de/LC_MESSAGES/x.mo", mo(messages))
  tap.write(folder .. "/go.lua", [[
local d = arg[1] == "pairs" and assert(data.pairs("words.tsv", {val = 0}))
  or assert(data.catalogues{from = "de", to = "en", path = "cat", val = 0})
local m = model.dense{layers = 1, dim = 8, heads = 1, context = 64, ffn_dim = 8,
                      vocab = d.tokenizer}
local o = {steps = 2, batch = 2, eval_every = 0, name = arg[1]}
print((arg[2] and train.resume(arg[1], {steps = 4}) or train(m, d, o)):wait().step)]])
  local function go(kind, where, more)
    return tap.child(("%s/go.lua %s %s"):format(folder, kind, more or ""),
      {runs = folder .. "/runs", environment = ("cd '%s' &&"):format(where)})
  end
  for _, kind in ipairs{"pairs", "catalogues"} do go(kind, place) end
  assert(os.execute(("mv '%s' '%s/now'"):format(place, folder)))
  for _, kind in ipairs{"pairs", "catalogues"} do
    local said = go(kind, folder .. "/now", "again")
    ok(said:find("\n4\n", 1, true), kind .. " are found where they are now", said)
  end
end

tap.done()
