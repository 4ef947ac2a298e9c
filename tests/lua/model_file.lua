-- Models on disk: what comes back, what is refused, what stays when saving fails.  TAP.

local engine = require "switchyard.engine"
local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok = tap.ok

-- a call that must give nil, a message with the text, and the code
local function fails(name, code, text, none, why, got)
  ok(none == nil and got == code and tostring(why):find(text, 1, true), name,
    tostring(why) .. " " .. tostring(got))
end

local folder = tap.folder "files"
local function at(name) return folder .. "/" .. name end
local function read(name) return tap.read(at(name)) end
local function write(name, text) tap.write(at(name), text) end
local function names(path) return (tap.output("ls -A '" .. path .. "'"):gsub("\n", " ")) end

-- Other values than a fresh model of the same seed has.
local function stir(m)
  for i, p in ipairs(m.params) do engine.fill(p, 0.1, 99, i) end
  for _, s in pairs(m.states) do
    local v = {}
    for j = 1, s.size do v[j] = math.sin(j) end
    engine.put(s, v)
  end
  return m
end

local small = {layers = 2, dim = 16, heads = 4, kv_heads = 2, context = 16, vocab = 300}
local function with(extra) return tap.with(small, extra) end

-- ---- there and back ----

local ids = {1, 2, 3, 200, 255}
for name, m in tap.sorted {
  softmax = model.moe(with {vocab = 256, experts = 4, expert_dim = 8, balance = {aux = 0.5},
    qk_norm = true}),
  sigmoid = model.moe(with {vocab = 256, experts = 4, expert_dim = 8, router = "sigmoid",
    shared_experts = 1, dense_layers = 1}),
  dense = model.dense(with {ffn_dim = 24, tie = true, theta = 500.5}),
} do
  stir(m)
  ok(m:save(at(name)) == true, name .. ": saved")
  local back, why = model.load(at(name))
  ok(back, name .. ": loaded", why)
  ok(back:logits(ids):equal(m:logits(ids)), name .. ": the same logits, to the bit")
  local same = true
  for k, v in pairs(m.cfg) do
    if type(v) ~= "table" then same = same and back.cfg[k] == v end
  end
  ok(same, name .. ": the same configuration")
  ok(names(at(name)) == "config.json model.safetensors "
    .. (m.tokenizer and "tokenizer.json tokenizer_config.json " or ""),
    name .. ": its files", names(at(name)))
  ok(back.tokenizer == m.tokenizer, name .. ": a tokenizer only where there was one")
  back:save(at "again")
  ok(read("again/model.safetensors") == read(name .. "/model.safetensors") and
    read("again/config.json") == read(name .. "/config.json"),
    name .. ": saved again, the same bytes")
end
ok(model.load(at "softmax").cfg.balance.aux == 0.5, "options of options come back")

local st = tensor.load(at "sigmoid/model.safetensors")
ok(st["model.layers.1.mlp.experts.3.down_proj.weight"] and
  st["model.layers.1.mlp.experts.3.down_proj.weight"]:equal(
    model.load(at "sigmoid").params["model.layers.1.mlp.experts.down_proj.weight"][4]),
    "an expert is a tensor")
ok(st["model.layers.1.mlp.gate.e_score_correction_bias"][2] == tensor({math.sin(2)})[1],
  "states are saved")
local config = engine.json(read "sigmoid/config.json")
ok(config.model_type == "glm4_moe" and config.n_routed_experts == 4 and
  config.first_k_dense_replace == 1, "Hugging Face's fields, sigmoid")
config = engine.json(read "softmax/config.json")
ok(config.model_type == "qwen3_moe" and config.num_experts == 4 and config.hidden_size == 16 and
  config.num_key_value_heads == 2 and config.norm_topk_prob == true,
  "Hugging Face's fields, softmax")

-- ---- one expert a token: its gate is its score, and was 1 in folders that do not say so ----

model.moe(with {experts = 4, expert_dim = 8, router = "sigmoid", top_k = 1}):save(at "single")
config = read "single/config.json"
ok(engine.json(config).norm_topk_prob == false,
  "top_k = 1: gates are not normalized, and Hugging Face is told")
ok(model.load(at "single"), "it is loaded")
tap.raises(function() model.load(at "single", {mapped = true}) end,
  "model.load: takes a path alone; it has no options")
local old, n = config:gsub(',%s*"single_gate":%s*"score"', "")
if n == 0 then old, n = config:gsub('"single_gate":%s*"score",', "") end
write("single/config.json", old)
local none, said = model.load(at "single")
ok(n == 1 and not none and said:find("gave every token the gate 1", 1, true) and not said:find "\n",
  "a folder of before is refused by name: " .. tostring(said))
write("single/config.json", (old:gsub('"normalize":%s*true', '"normalize": false')))
ok(model.load(at "single"), "and loaded as it says then")

-- ---- a tokenizer, a mask, a model of one's own ----

local tok = tokenizer.bytes()
write("text", ("the cat sat on the mat and the dog sat on the log. "):rep(40))
tok = tokenizer.train_bpe(at "text", {vocab = 290})
local m = stir(model.moe(with {experts = 4, expert_dim = 8, vocab = tok}))
engine.put(m.inputs["mask.2"], {0, -math.huge, 0, 0})
m:save(at "tok")
local back = model.load(at "tok")
ok(back.tokenizer == tok, "the tokenizer comes back")
ok(back.inputs["mask.2"][2] == -math.huge and back:logits("the cat"):equal(m:logits "the cat"),
  "an expert that is off stays off")

model.define("mini", function(cfg)
  return function(x)
    return nn.head(nn.embedding(x, nn.param("embed", {cfg.vocab, cfg.width})),
      nn.param("out", {cfg.vocab, cfg.width}))
  end
end)
local mini = model.mini {vocab = 20, width = 4, note = "ä\"\n", list = {1, 2.5, 3.0}}
ok(mini:save(at "mini") == true, "a model of one's own")
back = model.load(at "mini")
ok(back:logits(ids and {1, 2}):equal(mini:logits {1, 2}) and back.cfg.note == "ä\"\n" and
  back.cfg.list[2] == 2.5 and
  math.type(back.cfg.list[3]) == "float", "its configuration comes back exactly")
local bad = model.mini {vocab = 20, width = 4, f = print}
local fine, why = pcall(bad.save, bad, at "bad")
ok(not fine and why:find("config.f", 1, true) and not io.open(at "bad"),
  "what config.json cannot hold raises", why)

-- ---- what transformers can load, and what it cannot ----

-- Saved as ours, loaded again; config.json names no family of transformers' and holds the reason,
-- which is told.
local function ours_alone(what, model_, ...)
  local saved, reason = model_:save(at "alone")
  local text = read "alone/config.json"
  local c = engine.json(text)
  local told = saved == true and type(reason) == "string" and not reason:find "\n"
  for _, word in ipairs {...} do told = told and reason:find(word, 1, true) ~= nil end
  ok(told and c.model_type == "switchyard" and c.architectures == nil and
    reason == "transformers cannot load it: " .. c.switchyard.transformers and
    model.load(at "alone"),
    what .. ": ours alone, and why", tostring(reason) .. "\n" .. text)
end
local function moe(extra)
  extra.experts, extra.expert_dim = extra.experts or 4, 8
  return model.moe(with(extra))
end
ours_alone("qk_norm = false", moe {}, "qk_norm = false", "qwen3_moe has true")
ours_alone("softmax with shared experts", moe {qk_norm = true, shared_experts = 2},
  "shared_experts = 2", "qwen3_moe has 0")
ours_alone("sigmoid without shared experts", moe {router = "sigmoid"}, "shared_experts = 0",
  "glm4_moe has 1 or more")
ours_alone("sigmoid, one expert", moe {router = "sigmoid", shared_experts = 1, experts = 1,
                                       top_k = 1}, "experts = 1", "2 or more")
ours_alone("two reasons", moe {shared_experts = 1}, "qk_norm = false", "; shared_experts = 1")
ours_alone("capacity", moe {qk_norm = true, capacity = 1.25}, "capacity = 1.25", "capacity = nil")
local off = moe {qk_norm = true}
engine.put(off.inputs["mask.2"], {0, -math.huge, 0, -math.huge})
ours_alone("experts that are off", off, "2 of layer 2", "expert:enable")
ours_alone("a model of one's own", mini, "model.mini")

local nn = require "switchyard.model.nn"
function nn.routers.mine(...) return nn.routers.softmax(...) end
ours_alone("a router of one's own", moe {qk_norm = true, router = "mine"},
  "router = 'mine'", "softmax")

for name, m in tap.sorted {
  llama = model.dense(with {ffn_dim = 24}),
  qwen3 = model.dense(with {ffn_dim = 24, qk_norm = true}),
  qwen3_moe = moe {qk_norm = true, tie = true, dense_layers = 1, normalize = false},
  glm4_moe = moe {router = "sigmoid", shared_experts = 1, normalize = false},
} do
  local saved, reason = m:save(at "family", {family = name})
  local c = engine.json(read "family/config.json")
  ok(saved == true and reason == nil and c.model_type == name and #c.architectures == 1,
    name .. ": asked for", reason)
  ok(c.norm_topk_prob == (c.num_experts_per_tok and m.cfg.normalize),
    name .. ": its gates are told")
  for _, other in ipairs {"llama", "qwen3", "qwen3_moe", "glm4_moe"} do
    if other ~= name then
      tap.refuses(function() m:save(at "never", {family = other}) end, name .. " as " .. other,
        "save: family '" .. other .. "' cannot say this model: ", "where " .. other .. " has")
    end
  end
end
ok(not io.open(at "never/config.json"), "nothing is written then")
tap.refuses(function() mini:save(at "never", {family = "qwen3_moe"}) end, "one's own as a family",
  "model.mini")
tap.refuses(function() mini:save(at "never", {family = "qwen3moe"}) end, "an unknown family",
  "'qwen3moe'", "qwen3_moe")

local c = engine.json(read "tok/tokenizer_config.json")
ok(c.tokenizer_class == "PreTrainedTokenizerFast" and c.eos_token == "<|endoftext|>" and
  c.bos_token == nil, "tokenizer_config.json names the tokens")

-- ---- what is in the way ----

assert(os.execute("mkdir '" .. at "mine" .. "'"))
write("mine/thesis.txt", "years of work")
fails("a folder of other files is left alone", "IO", "thesis.txt", mini:save(at "mine"))
ok(read "mine/thesis.txt" == "years of work" and names(at "mine") == "thesis.txt ",
  "and nothing is left in it")
fails("a file is left alone", "IO", "file", mini:save(at "text"))
assert(os.execute("mkdir '" .. at "empty" .. "'"))
ok(mini:save(at "empty") == true, "an empty folder is taken")
ok(mini:save(at "deep/er/x/") == true and model.load(at "deep/er/x"),
  "parents are made, a slash at the end is fine")
assert(os.execute(("ln -s mini '%s'"):format(at "link")))
ok(stir(mini):save(at "link") == true and model.load(at "mini"):logits({3})
  :equal(mini:logits {3}) and
  names(at "link"):find "config", "through a link")
ok(not names(folder):find "tmp", "no temporary is left", names(folder))
fine, why = pcall(mini.save, mini)
ok(not fine and why:find "path of a folder", "a path is needed", why)

-- ---- what cannot be loaded ----

local good = read "softmax/config.json"
local function broken(name, code, text, change)
  os.execute(("rm -rf '%s' && cp -r '%s' '%s'"):format(at "broken", at "softmax", at "broken"))
  change()
  fails(name, code, text, model.load(at "broken"))
end
fails("no folder", "NOTFOUND", "absent/config.json", model.load(at "absent"))
broken("config.json is cut", "FORMAT", "config.json",
  function() write("broken/config.json", good:sub(1, 50)) end)
broken("config.json of another", "FORMAT", "Switchyard did not write it",
  function() write("broken/config.json", "{}") end)
broken("a family unknown", "FORMAT", "'moo', which is not defined", function()
  write("broken/config.json", (good:gsub('"family": "moe"', '"family": "moo"')))
end)
broken("a later format", "FORMAT", "format is 3", function()
  write("broken/config.json", (good:gsub('"format": 1', '"format": 3')))
end)
broken("an option that is not one", "FORMAT", "unknown option", function()
  write("broken/config.json", (good:gsub('"top_k": 2', '"top_kk": 2')))
end)
broken("another shape", "FORMAT", "the model wants (", function()
  write("broken/config.json", (good:gsub('"expert_dim": 8', '"expert_dim": 9')))
end)
broken("fewer layers", "FORMAT", "a tensor that the model does not have: model.layers.1.",
  function()
  write("broken/config.json", (good:gsub('"layers": 2', '"layers": 1')))
end)
broken("more layers", "FORMAT", "tensor missing: model.layers.2.", function()
  write("broken/config.json", (good:gsub('"layers": 2', '"layers": 3')))
end)
broken("no tensors", "NOTFOUND", "model.safetensors",
  function() os.remove(at "broken/model.safetensors") end)
broken("tensors cut", "FORMAT", "model.safetensors", function()
  write("broken/model.safetensors", read("softmax/model.safetensors"):sub(1, -5))
end)
broken("no tokenizer", "NOTFOUND", "tokenizer.json",
  function() os.remove(at "broken/tokenizer.json") end)

-- ---- JSON ----

local v = engine.json '{"a": [1, 2.0, true, null, "x\\u00e9"], "b": {}}'
ok(math.type(v.a[1]) == "integer" and math.type(v.a[2]) == "float" and v.a[3] == true and
  v.a[4] == engine.null and
  v.a[5] == "xé" and next(v.b) == nil, "json: every kind of value")
ok(engine.json "[1" == nil and engine.json_scalar(2.0) == "2.0" and
  engine.json_scalar "a\"\n" == '"a\\"\\n"', "json: refused, written")

-- ---- a page of ours made anew ----

model.define("dense", function(cfg)
  return function(x) return nn.head(nn.embedding(x, nn.param("embed", {cfg.vocab, 4})),
    nn.param("out", {cfg.vocab, 4})) end
end)
ours_alone("model.dense made anew", model.dense {vocab = 20, layers = 1},
  "model.dense is a model of one's own")

tap.done()
