-- Traces on disk: whole again when loaded, forced as a router, compared; files of others are
-- refused in a line.  TAP.
local srcdir = os.getenv "srcdir" or "."
local t = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"

local tok = tokenizer.bytes()
local TEXT = "The\nqu\xC3\xA9ck\27["
local T = #TEXT
t.folder "."
local path = t.scratch "t.safetensors"

local function made(router, more)
  return small.moe(t.with({layers = 2, vocab = tok, router = router}, more))
end

-- ---- saved and loaded ----

for _, case in ipairs {
  {router = "softmax"}, {router = "hash"}, {router = "relu"}, {router = "switch", K = 1},
  {router = "expert_choice"}, {router = {"deepseek_v3", groups = 2, keep = 1, scale = 2}},
} do
  local m = made(case.router, {top_k = case.K or 2})
  local x = trace(m, TEXT)
  local name = x.layers[1].router
  t.ok(x:save(path), name .. ": saved")
  local y, why = trace.load(path)
  t.is(tostring(y or why), tostring(x), name .. ": loaded it prints the same")
  local same = y and y.text == TEXT and #y.ids == T and y.ranks:equal(x.ranks)
  for l = 1, 2 do
    for _, key in ipairs {"experts", "placed", "gates", "scores", "margin"} do
      local a, b = x.layers[l][key], y.layers[l][key]
      same = same and (a and b and a:equal(b) or not a and not b)
    end
  end
  t.ok(same, name .. ": and has the same bits")
  t.is(tostring(y:at(3)), tostring(x:at(3)), name .. ": tells the same")
  t.refuses(function() y:counterfactual(1, 1) end, name .. ": has no model", "has no model")
  local again = t.scratch "again.safetensors"
  t.ok(y:save(again) and t.read(again) == t.read(path), name .. ": saved again it is the same file")
end

local both = model.encdec{layers = 1, decoder_layers = 1, dim = 16, heads = 2, vocab = tok,
                          context = 12, input_context = 20, experts = 4, moe_every = 1,
                          router = "switch", expert_dim = 16}
local x = trace(both, {inputs = "abcdef", tokens = "xyz"})
x:save(path)
t.is(tostring(trace.load(path)), tostring(x), "of an encoder and a decoder")
local forced = model.encdec{layers = 1, decoder_layers = 1, dim = 16, heads = 2, vocab = tok,
                            context = 12, input_context = 20, experts = 4, moe_every = 1,
                            router = {"replay", path}, expert_dim = 16, seed = 5}
t.is(trace.diff(x, trace(forced, {inputs = "abcdef", tokens = "xyz"})).differ, 0,
  "and forced on both sides")

-- ---- forced ----

for _, case in ipairs {
  {router = "softmax"}, {router = "switch", K = 1}, {router = "gpt_oss"}, {router = "hash"},
  {router = {"deepseek_v3", groups = 2, keep = 1}}, {router = "zero_experts"},
} do
  local more = {top_k = case.K or 2}
  local m = made(case.router, more)
  local first = trace(m, TEXT)
  local name = first.layers[1].router
  first:save(path)
  local replayed = made({"replay", path}, more)
  replayed:copy_from(m)
  t.ok(replayed:logits(TEXT):equal(m:logits(TEXT)), name .. ": of the same weights it is the same")
  local other, plain = made({"replay", path}, t.with(more, {seed = 7})),
    made(case.router, t.with(more, {seed = 7}))
  local y = trace(other, TEXT)
  t.is(trace.diff(first, y).differ, 0, name .. ": other weights, the same experts")
  local a, b = other:logits("The other"), plain:logits "The other"
  t.ok(not a:narrow(1, 1, 3):contiguous():equal(b:narrow(1, 1, 3):contiguous()) or name == "hash",
    name .. ": what begins as the text is forced")
  local z = trace(other, "xhe\nq")
  t.is(trace.diff(z, trace(plain, "xhe\nq")).differ, 0,
    name .. ": what does not goes where it would")
  t.is(other:generate("Th", {tokens = 2, seed = 1}), plain:generate("Th", {tokens = 2, seed = 1}),
    name .. ": a text that is written is not")
end
local m = made "softmax"
x = trace(m, TEXT)
x:save(path)
local d = small.words(2000, tok)
local kept = path
t.refuses(function() train(made{"replay", kept}, d, {steps = 1, save = false}) end, "in training",
  "is of a text of 12 tokens", "nn.record")
t.refuses(function() made({"replay", kept}, {experts = 8}) end, "other experts", "experts is 8")

-- What cannot be forced says so.
local function unforced(why, y)
  local p = t.scratch "unforced.safetensors"
  t.ok(y:save(p) and trace.load(p), why .. ": it can be kept")
  t.refuses(function() made{"replay", p} end, why, "cannot be forced", why)
end
unforced("more than the context of 16", trace(m, TEXT:rep(3), {windows = true}))
unforced("not all layers were traced", trace(m, TEXT, {layers = {1}}))
unforced("router 'relu' does not give each token K experts", trace(made "relu", TEXT))
unforced("stands for another", trace(made{"replay", path}, TEXT))
unforced("is no word", trace(made{"forced", experts = "1,2 3,4"}, TEXT))

-- ---- compared ----

local bf16 = trace(m, TEXT, {precision = "bf16"})
local diff = trace.diff(x, x)
t.is(diff.differ, 0, "of itself: no difference")
t.is(diff.layers[2].gates, 0, "nor of gates")
local other = trace(made("softmax", {seed = 9}), TEXT)
diff = trace.diff(x, other)
local n = 0
for i = 1, T do
  for l = 1, 2 do
    local a, b = x.layers[l].experts[i]:table(), other.layers[l].experts[i]:table()
    table.sort(a)
    table.sort(b)
    if a[1] ~= b[1] or a[2] ~= b[2] then n = n + 1 end
  end
end
t.near(diff.differ, n / (2 * T), 1e-6, "the share of tokens and layers is that by hand")
t.is(diff.tokens[4].loss2, other.losses[4]:item(), "losses of both")
t.ok(tostring(diff):find("other experts in", 1, true) and not tostring(diff):find "\27", "printed")
t.ok(trace.diff(x, bf16).layers[1].gates > 0, "two precisions")
t.refuses(function() trace.diff(x, trace(m, "The")) end, "other text", "12 and 3 tokens")
t.refuses(function() trace.diff(x, trace(m, "The\nqu\xC3\xA9ck\27]")) end, "other token",
  "token 12 is 91 and 93")
t.refuses(function() trace.diff(x, trace(made("softmax", {experts = 8}), TEXT)) end, "experts",
  "layer 1 has 4 and 8 experts")
t.refuses(function() trace.diff(x, 5) end, "no trace", "takes two traces, got number")

-- ---- files of others ----

x:save(path)
local good = assert(tensor.load(path))
local function refused(what, change, ...)
  local all = {}
  for name, v in pairs(good) do all[name] = v end
  change(all)
  local p = t.scratch "bad.safetensors"
  assert(tensor.save(p, all))
  local y, why, code = trace.load(p)
  local fine = y == nil and code == "FORMAT" and not why:find "\n" and not why:find "\27"
  for _, part in ipairs {...} do fine = fine and why:find(part, 1, true) ~= nil end
  t.ok(fine, "refused: " .. what, tostring(why))
end

local function with_head(change)
  return function(all)
    local head = string.char(table.unpack(good.trace:table()))
    all.trace = tensor({change(head):byte(1, -1)}, {dtype = "u8"})
  end
end

local function replaced(from, to) -- a plain text, once
  return with_head(function(head)
    local i, j = head:find(from, 1, true)
    return head:sub(1, i - 1) .. to .. head:sub(j + 1)
  end)
end

refused("no trace", function(all) all.trace = nil end, "it has no trace")
refused("no JSON", with_head(function() return "{" end), "no JSON object")
refused("a version", replaced('"version": 1', '"version": 9'), "version 9")
refused("no step", replaced('"step": 0', '"step": -1'), "step, layers or length")
refused("many layers", replaced('"layers": 2', '"layers": 99999999'), "step, layers or length")
refused("a layer", replaced('"layer": 2', '"layer": 3'), "a mixture's layer")
refused("experts", replaced('"E": 4', '"E": 0'), "a mixture's layer, E or K")
refused("a place", replaced('"place": "1"', '"place": "\\u001b[31m"'), "is missing")
refused("tokens", function(all) all.tokens = all.tokens:cast "f32" end, "tokens is missing")
refused("a negative token", function(all)
  all.tokens = all.tokens - 200
end, "outside of")
refused("losses", function(all) all.losses = tensor.zeros(3) end, "losses is missing")
refused("an expert", function(all) all["experts.1"] = all["experts.1"] + 9 end,
  "experts.1 has a number outside of 0 to 4")
refused("gates", function(all) all["gates.2"] = tensor.zeros(T, 3) end, "gates.2 is missing")
refused("ends", function(all) all.ends = all.ends + 50 end, "do not lie one behind the other")
refused("scores", function(all) all["scores.1"] = tensor.zeros(T, 9) end, "scores.1")
refused("windows", replaced('"starts": [0]', '"starts": [5, 2]'), "windows do not lie")
local nothing, why, code = trace.load(t.scratch "none.safetensors")
t.ok(nothing == nil and code == "NOTFOUND", "a file that is not there", why)
t.write(t.scratch "text.safetensors", "hello")
nothing, why, code = trace.load(t.scratch "text.safetensors")
t.ok(nothing == nil and not why:find "\n", "no tensors", why)
tensor.zeros(3):save(t.scratch "one.npy")
nothing, why = trace.load(t.scratch "one.npy")
t.ok(nothing == nil and why:find "is no trace", "one tensor", why)
t.refuses(function() trace.load(5) end, "no path", "takes a path, got number")
nothing, why, code = x:save(t.scratch "no/such/folder/t.safetensors")
t.ok(nothing == nil and why and code, "where it cannot be written", why)
t.done()
