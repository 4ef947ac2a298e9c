-- How the prompt prints: tables, lists of records, models and runs.  TAP.


local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is = tap.ok, tap.is
local engine, show = require "switchyard.engine", require "switchyard.prompt.show"

-- Every line fits, in characters.
local function fits(text, name)
  local widest = 0
  for line in (text .. "\n"):gmatch "(.-)\n" do
    widest = math.max(widest, utf8.len(line) or #line)
  end
  ok(widest <= 80, name .. " fits in 80 columns: " .. widest)
end

is(show.text{1, 2, 3}, "{1, 2, 3}", "a short list")
is(show.text{b = 1, a = "x", [3] = true}, '{[3] = true, a = "x", b = 1}', "keys have an order")
is(show.text(every),
  "every(r, n, function(r) ... end) -> hook\n    Call the function after every n-th step of the "
  .. "run, between two steps",
  "a function has its signature and a line")
ok(show.text(model.moe):find "^model%.moe{[^\n]*\n    ", "a function of a table as well")
ok(show.text(train):find "^train%(", "and a table that can be called")
local own = function() end
is(show.text(own), tostring(own), "a function of someone else's")
local loop = {a = 1}
loop.me = loop
is(show.text(loop), "{a = 1, me = {… itself}}", "a table in itself")
is(show.text{a = {b = {c = {d = 1}}}}, "{a = {b = {c = {…}}}}", "depth is limited")
is(show.text{}, "{}", "an empty one")
is(show.text{0.1 + 0.2, 1e300, 2.0, 1 / 0}, "{0.3, 1e+300, 2.0, inf}", "numbers in a table")

local long = {}
for i = 1, 500 do long[i] = i end
local text = show.text(long)
ok(text:find("… 404 more", 1, true), "a long list is elided")
fits(text, "a long list")
local wide = {}
for i = 1, 60 do wide["key" .. i] = ("v"):rep(i) end
ok(show.text(wide):find("… 36 more", 1, true), "many keys are elided")

is(show.text{{name = "a", loss = 2.5}, {name = "bb", loss = 1, step = 10}},
  "name  step  loss\na            2.5\nbb      10     1",
  "records by columns, numbers at the right")
text = show.text{{name = "ä", note = ("wort "):rep(40)}, {name = "b", note = "ö"}}
fits(text, "records with a long text")
ok(text:find "…", "which is cut")
local many = {}
for i = 1, 100 do many[i] = {i = i, v = i * i} end
text = show.text(many)
ok(text:find("… 68 more", 1, true) and text:find "10000", "many records are elided in the middle")
ok(show.text{{1, 2}, {3, 4}}:sub(1, 2) == "{{", "lists of lists are no records")
ok(show.text{{a = 1}, {a = {}}}:sub(1, 1) == "{", "neither are nested ones")
local called = false
local trap = setmetatable({}, {__index = function() called = true end,
                               __len = function() called = true return 3 end,
                               __pairs = function() called = true return next, {} end})
show.text(trap)
show.text{trap, trap}
ok(not called, "printing calls nothing of the user's but __tostring")

local d = data.synthetic{domains = 2, tokens = 20000, seed = 1}
local m = model.moe{layers = 3, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
                    top_k = 2, expert_dim = 16}
text = tostring(m)
fits(text:match "\n(.*)", "a model")
ok(text:find "layers%.1%-3", "layers that look alike are folded")
ok(text:find "experts", "its parts are named")
local sum = 0
for line in text:gmatch "\n  (%S[^\n]*)" do -- the lines of the top level
  local n, unit = line:match "([%d.]+) ?([kMG]?)%s+[%d.]+ ?[kMG]?%s+%S+ ?[kMG]?$"
  if n then
    sum = sum + n * ({k = 1e3, M = 1e6, G = 1e9})[unit ~= "" and unit or
      "k"] / (unit == "" and 1e3 or 1)
  end
end
ok(math.abs(sum / m:count().total - 1) < 0.02, "parameters of the parts sum to all: " .. sum
  .. " of " .. m:count().total)

local r = train(m, d, {steps = 8, batch = 2, eval_every = 4, checkpoint_every = 0})
r:wait()
text = tostring(r)
fits(text, "a run")
ok(text:find("done, step 8/8", 1, true) and text:find "val %d" and text:find "lr %d" and
  text:find "[▁█]", "a run's card", text)
ok(show.brief(r):find "^run [%w-]+: done, step 8/8$", "a run in one line: " .. show.brief(r))
is(show.brief "a\nb", '"a\\nb"', "a text in one line")

-- print, in scripts too
local x = tensor.ones(4, 3)
is(tostring(x.shape), "{4, 3}", "a shape")
is(show.text{s = x.shape}, "{s = {4, 3}}", "in a table")
is(#x.shape * 10 + x.shape[2], 23, "which is a list like any other")
is(select(2, pcall(string.rep, x.shape)),
  "bad argument #1 to 'string.rep' (string expected, got table)", "for an error as well")
is(tostring(tokenizer.bytes():encode "hi"), "{104, 105}", "ids of a text")
is(tostring(tensor.eye(2):table()), "{{1.0, 0.0}, {0.0, 1.0}}", "a tensor's table")
local wide = setmetatable({}, {cut = true, __tostring = function()
  return "short\n" .. ("w"):rep(500)
end})
is(show.text(wide), "short\n" .. ("w"):rep(engine.columns() - 1) .. "…",
  "a table of one line a row is cut at the prompt")
is(#tostring(wide), 506, "and whole elsewhere")
r:note "a note"
r.layers[1].experts[2]:freeze()
is(tostring(r:journal()),
  "step  kind    text\n   8  note    a note\n   8  freeze  freeze L1 2",
  "a journal has columns of what it says")
is(tostring(r:journal()[2]), "step 8, freeze: freeze L1 2", "and an entry a line")
is(show.text(r:journal()), tostring(r:journal()), "at the prompt as well")
is(tostring(tensor{{1, 0.5}, {20, 0.25}}),
  "f32 (2, 2)   min 0.25   mean 5.4375   max 20\n    1   0.5000\n   20   0.2500",
  "a narrow matrix has columns of whole numbers")
is(tostring(tensor{{1, 0.5}, {0 / 0, 0.25}}):match "\n.*", "\n   1.0000  0.5000\n      nan  0.2500",
  "but for NaN")

tap.done()
