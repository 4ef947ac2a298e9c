-- What has fields has those and no others: to read one that is not there, and to set what cannot be
-- set, is refused by name, with what to use instead.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local is, ok, refuses = t.is, t.ok, t.refuses

local tok, d = tokenizer.bytes(), data.synthetic{tokens = 1e4}
local m = model.moe{layers = 1, dim = 16, heads = 1, experts = 2, top_k = 2, expert_dim = 16,
                    context = 8, vocab = 256}
local r = train(m, d, {steps = 4, batch = 2, save = false, paused = true})
local hook = every(r, 100, function() end)
r:resume():wait()
local layer, expert = r.layers[1], r.layers[1].experts[1]
local before = r:hash()

-- text: what is done with t d m r l x h; the rest: what its message holds
local function refused(text, ...)
  local f = assert(load("local t, d, m, r, l, x, h = ... " .. text, "=line"))
  refuses(function() f(tok, d, m, r, layer, expert, hook) end, text, "line:1: ", ...)
end

refused("l.top_k = 1", "top_k is the run's", "r.top_k = ...")
refused("l.aux = 1", "r.aux = ...")
refused("return l.lr", "r.lr")
refused("l.frozen = true", "experts[e]:freeze()")
refused("l.load = 1", "load cannot be set")
refused("l.lod = 1", "unknown field 'lod'", "'load'")
refused("return l.lod", "unknown field 'lod'", "'load'")
refused("l:lod()", "'load'")
refused("l.experts[1] = nil", "cannot be set", ":disable()")
refused("r.layers.foo = 1", "layer foo cannot be set")
refused("r.layers[1] = nil", "layer 1 cannot be set")
refused("x.enabled = false", "x:disable()")
refused("return x.frozen", "x:freeze()")
refused("x.number = 2", "number cannot be set")
refused("x.disable = 2", "disable cannot be set")
refused("return x.disabel", "'disable'")
refused("x:disabel()", "'disable'")
refused("m.top_k = 1", "model.moe{top_k = ...}", "r.top_k")
refused("m.context = 8", "model.moe{context = ...}")
refused("return m.context", "m.cfg.context")
refused("m.aux = 1", "r.aux = ...")
refused("m.tokenizer = 5", "tokenizer cannot be set")
refused("m.params = {}", "params cannot be set")
refused("m.generate = print", "generate cannot be set")
refused("m.tokeniser = 5", "unknown field 'tokeniser'", "'tokenizer'")
refused("m[1] = 5", "unknown field '1'")
refused("return m.lyers", "'layers'")
refused("m:genrate()", "'generate'")
refused("m._foo = 1", "unknown field '_foo'")
refused("m.layers[1].moe.top_k = 1", "top_k cannot be set")
refused("return m.layers[1].mo", "'moe'")
refused("return m.params['lm_head.wight']", "unknown parameter")
refused("m.inputs.axu = 1", "unknown input 'axu'", "'aux'")
refused("h.n = 5", "n cannot be set", "every(r, n, f)")
refused("return h.ff", "unknown field 'ff'")
refused("t.eot = 5", "tokenizer: eot cannot be set")
refused("return t.eott", "'eot'")
refused("d.vocab = 5", "data: vocab cannot be set")
refused("return d.vocb", "'vocab'")
for text, near in t.sorted {["nn.liner()"] = "linear", ["tensor.zeroes(2)"] = "zeros",
                            ["data.txt 'a'"] = "text",
                            ["return tokenizer.byts"] = "bytes", ["return model.mo"] = "moe",
                            ["train.resme 'a'"] = "resume"} do
  refused(text, "unknown", "'" .. near .. "'")
end

is(r:hash(), before, "and nothing changed")
is(m.layers[1].moe.top_k .. m.layers[1].moe.experts[2].number .. m.family, "22moe",
  "what is there is read")
ok(m._foo == nil and layer._foo == nil, "private names are nil")
for what, library in t.sorted {tensor = tensor, nn = nn, data = data, tokenizer = tokenizer,
                               model = model, train = train} do
  local n = 0
  for name, f in pairs(library) do n = n + (type(name) == "string" and f ~= nil and 1 or 0) end
  ok(n > 0 and rawget(library, "foo") == nil, what .. ": pairs and rawget are as in Lua")
end
local names = {}
for name in pairs(m) do names[#names + 1] = name end
table.sort(names)
is(table.concat(names, " "), "cfg family inputs layers params states", "pairs of a model")
is(tostring(m.layers[1].moe.experts[1]), "{layer = 1, number = 1}",
  "an expert of a model is printed")
local a = tensor.ones(2, 3)
is(a.shape[1] .. a.shape[2] .. a.shape[-1] .. a.shape[-2], "2332",
  "places of a shape, from the end too")
for _, place in ipairs {0, 3, -3, 1.5, "foo"} do
  refuses(function() return a.shape[place] end, "a.shape[" .. place .. "]",
    "shape: no dimension " .. place .. ": it has 2")
end
is(#{table.unpack(a.shape, 1, 2)} .. table.concat(a.shape, "x")
  .. select("#", table.unpack(a.shape)), "22x32", "as lists are")
is(rawget(a.shape, 5), nil, "rawget of a shape")
local places = 0
for _ in ipairs(a.shape) do places = places + 1 end
is(places, 2, "ipairs of a shape")
ok(a.shape == tensor.zeros(2, 3).shape and tostring(a.shape) == "{2, 3}", "equal, and printed")
ok(tensor.ones(a.shape).size == 6 and a:view(a.shape).ndim == 2, "given to what takes a shape")
nn.my_own = function() return 5 end
is(nn.my_own(), 5, "what a user adds to a table of functions is there")
nn.my_own = nil
expert:freeze():unfreeze()
r.top_k = 1
refuses(function() r[true] = 1 end, "r[true] = 1", "run: it has no field true")
is(m.cfg.top_k .. m.layers[1].moe.top_k, "11", "what the run sets, the model knows")
t.done()
