-- BLEU and chrF: the values of sacreBLEU 2.6.0 (corpus_bleu, corpus_chrf, all defaults).  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local near, refuses = tap.near, tap.refuses

-- texts, references, BLEU, chrF, precisions of BLEU
local cases = {
  {{"the cat sat on the mat"}, {"the cat sat on the mat"}, 100, 100, {100, 100, 100, 100}},
  {{"the cat sat on a mat today"},
   {"the cat is on the mat"},
   15.6196996846, 34.6096693301, {57.14285714, 16.66666667, 10, 6.25}},
  {{"the the the the the"},
   {"the cat is on the mat"},
   10.400597689, 15.3588110558, {40, 12.5, 8.333333333, 6.25}},
  {{"File not found", "Open the file"},
   {"The file was not found.", "Open the file"},
   0, 62.1406581492, {83.33333333, 75, 50, 0}},
  {{"It costs 1,234.50 dollars - or 5-6 euros, not \"7\"."},
   {"It costs 1,234.50 dollars, or 5-6 euros; not '7'."},
   41.2118375132, 73.9898216326, {75, 46.66666667, 35.71428571, 23.07692308}},
  {{"a b c d"}, {"e f g h"}, 0, 0, {0, 0, 0, 0}},
  {{""}, {"something here"}, 0, 0, {0, 0, 0, 0}},
  {{"x"}, {"x"}, 0, 100, {100, 0, 0, 0}},
  {{"Datei öffnen & schließen &amp; beenden"},
   {"Datei öffnen und schließen & beenden"},
   37.9917842826, 70.1296283296, {83.33333333, 60, 25, 16.66666667}},
  {{"你好 世界", "naïve café\u{a0}test"},
   {"你好世界", "naive café test"},
   0, 76.6002216738, {40, 33.33333333, 50, 0}},
  {{"%d files of {name} [x] a/b (c) ~ e-mail don't"},
   {"%d file of {name} [y] a/b (c) e-mail do not"},
   54.017258986, 65.3527457906, {78.94736842, 61.11111111, 47.05882353, 37.5}},
  {{"one two three", "four five"},
   {"one two three four", "five four five six"},
   0, 60.5854836276, {100, 100, 100, 0}},
  {{"multi-\nline text\nhere"}, {"multiline text here"}, 0, 79.9973791861, {100, 100, 100, 0}},
}
for i, case in ipairs(cases) do
  local texts, references, bleu, chrf, precisions = table.unpack(case)
  local value, of = data.bleu(texts, references)
  near(value, bleu, 1e-8, "BLEU of case " .. i)
  for n = 1, 4 do near(of.precisions[n], precisions[n], 1e-7, ("its %d-grams"):format(n)) end
  near(data.chrf(texts, references), chrf, 1e-8, "chrF of case " .. i)
end

local texts = {"the cat sat on the mat", "a dog barked"}
local references = {{"the cat is on the mat", "a cat sat on a mat there"},
                    {"the dog barked", "some dog was barking loudly"}}
near(data.bleu(texts, references), 47.47362087808389, 1e-8, "BLEU with two references")
near(data.chrf(texts, references), 66.66687732470173, 1e-8, "chrF with two references")
near(data.bleu("one two three four", "one two three four"), 100, 1e-9, "one text without lists")

for _, what in ipairs{"bleu", "chrf"} do
  local f = data[what]
  refuses(function() f({"a"}, {"a", "b"}) end, what .. ": unequal counts", what, "1 texts",
    "2 references")
  refuses(function() f({}, {}) end, what .. ": nothing", "0 texts")
  refuses(function() f("a") end, what .. ": no reference", "string", "nil")
  refuses(function() f({1}, {"a"}) end, what .. ": a number", "text 1", "number")
  refuses(function() f({"a"}, {{"b", 2}}) end, what .. ": a number among references",
    "reference 2 of text 1", "number")
end
tap.done()
