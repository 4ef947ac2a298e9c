-- model: model.define(name, build, options) makes model.name{...}; what every model can do.
--
-- build(cfg) returns forward(ids (B,T) i32), which returns nn.head(x, w) or logits (B*T, V).  It is run
-- once to make the parameters, and again whenever a program of another shape or mode is wanted.

local engine = require "switchyard.engine"
local nn = require "switchyard.nn"
local options = require "switchyard.options"

local model = {}
local families = {} -- name -> {build=, rows=}
local Model = {}
local PREFILL = 32 -- tokens of a program that reads a prompt

-- ---- making ----

local function check_config(what, cfg, given)
  if cfg.heads and cfg.dim and not cfg.head_dim and cfg.dim % cfg.heads ~= 0 then
    error(("%s: dim must be a multiple of heads: dim is %d%s, heads is %d%s"):format(what, cfg.dim,
      given.dim and "" or " (the default)", cfg.heads, given.heads and "" or " (the default)"), 0)
  end
  if cfg.heads and cfg.dim and (cfg.head_dim or cfg.dim // cfg.heads) % 2 ~= 0 then
    error(("%s: the width of a head must be even: it is %d"):format(what, cfg.head_dim or cfg.dim // cfg.heads), 0)
  end
  if cfg.heads and cfg.kv_heads and cfg.heads % cfg.kv_heads ~= 0 then
    error(("%s: heads must be a multiple of kv_heads: heads is %d, kv_heads is %d")
      :format(what, cfg.heads, cfg.kv_heads), 0)
  end
  if cfg.experts and cfg.top_k and cfg.top_k > cfg.experts then
    error(("%s: top_k must be at most experts: top_k is %d, experts is %d")
      :format(what, cfg.top_k, cfg.experts), 0)
  end
  if type(cfg.balance) == "table" then
    cfg.balance = options.read(what .. ": balance", cfg.balance, {
      {"aux", "number", 0.01, 0, 1e6}, {"z", "number", 0.001, 0, 1e6}, {"gamma", "number", 0.001, 0, 1}})
  end
  if cfg.router and not nn.routers[cfg.router] then
    local names = {}
    for name in pairs(nn.routers) do names[#names + 1] = name end
    table.sort(names)
    options.unknown(what, "router", cfg.router, names)
  end
end

local function read_config(name, family, given)
  local what = "model." .. name
  local cfg
  if family.rows then
    cfg = options.read(what, given, family.rows)
  else
    cfg = {}
    for k, v in pairs(given or {}) do cfg[k] = v end
    if type(cfg.vocab) == "userdata" then cfg.vocab_tokenizer, cfg.vocab = cfg.vocab, cfg.vocab.size end
    cfg.vocab, cfg.seed = cfg.vocab or 256, cfg.seed or 1
    cfg.layers, cfg.context = cfg.layers or 1, cfg.context or 256
  end
  check_config(what, cfg, type(given) == "table" and given or {})
  return cfg
end

--- model.define(name, build(cfg) -> forward(ids), options rows or nil)
function model.define(name, build, rows)
  if type(name) ~= "string" or type(build) ~= "function" then
    error("model.define: takes a name and a function of the configuration", 2)
  end
  families[name] = {build = build, rows = rows}
  model[name] = function(given)
    return options.call(Model.new, name, given)
  end
  return model[name]
end

-- For the docs: option rows of every model that has some, by name.
function model._rows()
  local all = {}
  for name, family in pairs(families) do all[name] = family.rows end
  return all
end

--- The family of a name, {build=, rows=}, or nil.
function model._family(name) return families[name] end

function Model.new(name, given)
  local family = families[name]
  local cfg = read_config(name, family, given)
  local m = setmetatable({
    family = name, cfg = cfg, tokenizer = cfg.vocab_tokenizer or tokenizer.bytes(),
    params = {}, states = {}, inputs = {}, layers = {},
    _info = {}, _state_names = {}, _input_names = {}, _moe = {}, _programs = {},
  }, Model)
  cfg.vocab_tokenizer = nil
  m._build = family.build
  m._forward = family.build(cfg)
  if type(m._forward) ~= "function" then
    error("model." .. name .. ": its function must return a function of the token ids, not a " .. type(m._forward), 0)
  end
  local d = {mode = "build", fills = {}, bytes = 0}
  local ok, why = pcall(m._record, m, d, 1, math.min(cfg.context, 4))
  if d.short then
    m.params, d.fills = {}, {}
    collectgarbage()
    local machine = tensor.memory().machine
    error(("%s: out of memory: its parameters are %s%d bytes (%.3g GB), the machine has %d (%.3g GB)"):format(
      "model." .. name, ok and "" or "at least ", d.bytes, d.bytes / 1e9, machine, machine / 1e9), 0)
  end
  if not ok then error(why, 0) end
  for _, fill in ipairs(d.fills) do engine.fill(table.unpack(fill)) end
  m._fresh = true -- its values are what the seed gives
  m:_make_layers()
  return m
end

-- ---- what a description tells the model while it runs ----

function Model:_add_param(key, t, o)
  self.params[#self.params + 1] = t
  self.params[key] = t
  local info = {name = key, experts = o.experts or 0, active = o.active or 1, init = o.init}
  self._info[#self.params], self._info[key] = info, info
  return t
end

function Model:_add_state(key, t)
  self.states[key] = t
  self._state_names[#self._state_names + 1] = key
end

function Model:_add_input(name, t)
  self.inputs[name] = t
  self._input_names[#self._input_names + 1] = name
end

function Model:_mark_lookup(w)
  for i, p in ipairs(self.params) do
    if rawequal(p, w) then self._info[i].lookup = true end
  end
end

function Model:_add_moe(layer, E, K, path)
  if not layer then return end
  self._moe[layer] = {experts = E, top_k = K, path = path}
  if self.layers[layer] then self.layers[layer].moe.top_k = K end
end

-- ---- recording ----

--- Record forward over (B,T) ids into a new graph: returns the description, the graph in d.graph, the
-- result of the model's function in d.result.  `after` records as well, or gives the graph to engine.phase.
function Model:_record(d, B, T, after)
  d.model, d.inputs = self, {}
  engine.record(d.precision or "fp32", function(graph)
    d.graph = graph
    local ids = d.graph:input("tokens", "i32", {B, T})
    if not d.positions then
      d.positions = d.graph:input("positions", "i32", {T})
      local p = {}
      for t = 1, T do p[t] = t - 1 end
      engine.put(d.positions, p)
    end
    nn.describe(d, function()
      d.result = self._forward(ids)
      if after then after(d) end
    end)
  end)
  if d.mode == "build" then
    self._attention_width = d.attention_width or 0
    d.graph = nil
  end
  return d
end

--- Logits (N,V) of a result.
function Model.logits_of(result)
  if type(result) == "table" then return nn.linear(result.hidden, result.weight) end
  return result:view(-1, result.shape[#result.shape])
end

--- Cross entropy in nats a token of a result and targets (B,T).
function Model.loss_of(result, targets)
  local flat = targets:view(-1)
  if type(result) == "table" then return (result.hidden:head_loss(result.weight, flat)) end
  return (result:view(-1, result.shape[#result.shape]):cross_entropy(flat))
end

-- ---- programs for use: logits, loss, decoding ----

-- Programs are kept, but of those that are made for one length of a text (`per_length`) only the last ones used.
local KEPT = 8

function Model:_program(key, make, per_length)
  local p = self._programs[key]
  if not p then
    p = make()
    self._programs[key] = p
  end
  if per_length then
    local keys = self._programs_used or {}
    for i, k in ipairs(keys) do if k == key then table.remove(keys, i) break end end
    keys[#keys + 1] = key
    if #keys > KEPT then self._programs[table.remove(keys, 1)] = nil end
    self._programs_used = keys
  end
  return p
end

--- Run f while the model's run, if it has a live one, is parked between two steps.
function Model:_quietly(f, ...)
  local run = self._run
  if not run then return f(...) end
  run:hold() -- either held, or it raised and is not
  local guard <close> = setmetatable({}, {__close = function() run:release() end})
  return f(...)
end

local function check_ids(m, what, ids)
  local n = engine.length(what, ids)
  if n == 0 then error(what .. ": no tokens given", 0) end
  for i = 1, n do
    local id = math.type(ids[i]) and math.tointeger(ids[i])
    if not id or id < 0 or id >= m.cfg.vocab then
      error(("%s: token %d is %s, must be from 0 to %d"):format(what, i, tostring(ids[i]), m.cfg.vocab - 1), 0)
    end
  end
end

local function as_ids(m, what, x)
  if type(x) == "string" then return m.tokenizer:encode(x) end
  if type(x) == "userdata" and x.table then x = x:view(-1):table() end
  if type(x) ~= "table" then error(what .. ": takes a text or token ids, got " .. type(x), 0) end
  return x
end

--- m:logits(ids or text) -> (T,V): scores of the next token after each
function Model:logits(x)
  local ids = as_ids(self, "logits", x)
  local T = #ids
  check_ids(self, "logits", ids)
  local p = self:_program("logits." .. T, function()
    local d = self:_record({mode = "eval"}, 1, T, function(d) d.logits = Model.logits_of(d.result) end)
    return {run = engine.program(d.graph, {d.logits}), d = d}
  end, true)
  engine.put(p.d.graph:input("tokens", "i32", {1, T}), ids)
  self:_write_inputs(p.d)
  self:_quietly(function() p.run:run() end)
  return engine.clone(p.d.logits)
end

--- Current values of nn.input into a program of our own.
function Model:_write_inputs(d)
  for name, t in pairs(d.inputs) do engine.copy(t, self.inputs[name]) end
end

local function loss_program(m, B, T)
  return m:_program("loss." .. B .. "." .. T, function()
    local targets
    local d = m:_record({mode = "eval"}, B, T, function(d)
      targets = d.graph:input("targets", "i32", {B, T})
      d.loss = Model.loss_of(d.result, targets)
    end)
    return {run = engine.program(d.graph, {d.loss}), d = d, targets = targets,
            tokens = d.graph:input("tokens", "i32", {B, T})}
  end, true)
end

local function text_loss(m, ids)
  local T = math.min(m.cfg.context, #ids - 1)
  if T < 1 then error("loss: a text of at least 2 tokens is needed, got " .. #ids, 0) end
  local p = loss_program(m, 1, T)
  m:_write_inputs(p.d)
  local sum, n = 0, 0
  for first = 1, #ids - T, T do
    engine.put(p.tokens, table.move(ids, first, first + T - 1, 1, {}))
    engine.put(p.targets, table.move(ids, first + 1, first + T, 1, {}))
    p.run:run()
    sum, n = sum + p.d.loss:item(), n + 1
  end
  return sum / n
end

--- m:loss(dataset or text, {batches=20, batch=16}) -> nats a token, without any auxiliary loss.  A dataset: on its
-- validation part; a text: on consecutive windows of the model's context.
function Model:loss(x, given)
  local o = options.read("loss", given, {{"batches", "integer", 20, 1}, {"batch", "integer", 16, 1}})
  return self:_quietly(function()
    if type(x) == "string" or type(x) == "table" then
      local ids = as_ids(self, "loss", x)
      check_ids(self, "loss", ids)
      return text_loss(self, ids)
    end
    local p = loss_program(self, o.batch, self.cfg.context)
    self:_write_inputs(p.d)
    local n = engine.eval_windows(x, self.cfg.context, o.batches)
    local sum, at = 0, 0
    while at < n do
      local rows = engine.eval_batch(x, at, n, p.tokens, p.targets, p.d.documents)
      p.run:run()
      sum, at = sum + p.d.loss:item() * rows, at + rows
    end
    return sum / n
  end)
end

-- ---- generation ----

--- A program that reads T tokens at positions len-T..len-1 into the key-value cache and gives the logits
-- after each.  All decode programs of one generation share the caches of `own`.
function Model:_decoder(own, T)
  if not own[T] then
    local d = {mode = "decode"}
    local S, count = self.cfg.context, 0
    function d.attend(q, k, v)
      count = count + 1
      local shape = k.shape
      local c = own.caches[count]
      if not c then
        c = {k = tensor.zeros(1, S, shape[3], shape[4]), v = tensor.zeros(1, S, shape[3], shape[4])}
        own.caches[count] = c
      end
      return engine.raw.attention_cached(q, k, v, c.k, c.v, d.graph:input("len", "i32", {1}))
    end
    local logits
    self:_record(d, 1, T, function() logits = Model.logits_of(d.result) end)
    own[T] = {run = engine.program(d.graph, {logits}), d = d, logits = logits,
              tokens = d.graph:input("tokens", "i32", {1, T}), len = d.graph:input("len", "i32", {1}),
              positions = d.positions}
    self:_write_inputs(d)
  end
  return own[T]
end

-- What a generation needs for itself: that of the last one, or new while another goes on (a job, a hook).
function Model:_take_decoders()
  local own = self._programs.decoders or {caches = {}}
  self._programs.decoders = nil
  for T, p in pairs(own) do
    if T ~= "caches" then self:_write_inputs(p.d) end
  end
  return own, self._programs
end

-- Read ids into the cache from position `at` (0-based); returns the program that holds the last logits, its row.
-- What the model draws is keyed by seed and position.
local function feed(m, own, ids, first, at, seed)
  local i, p, T = first, nil, nil
  while i <= #ids do
    T = #ids - i + 1 >= PREFILL and PREFILL or 1
    p = m:_decoder(own, T)
    local chunk, places = {}, {}
    for j = 1, T do
      chunk[j] = ids[i + j - 1]
      places[j] = at + j - 1
    end
    engine.put(p.tokens, chunk)
    engine.put(p.positions, places)
    engine.put(p.len, {at + T})
    p.run:run(seed, at)
    i, at = i + T, at + T
  end
  return p, T, at
end

-- Longest prefix of s that ends with a whole UTF-8 character (or all, if it is not UTF-8).
local function whole(s)
  for back = 1, math.min(3, #s) do
    local b = s:byte(#s - back + 1)
    if b >= 0xC0 then
      local need = b >= 0xF0 and 4 or b >= 0xE0 and 3 or 2
      return need > back and #s - back or #s
    elseif b < 0x80 then
      return #s
    end
  end
  return #s
end

local generate_rows = {
  {"tokens", "integer", 200, 0, 1 << 30}, {"temperature", "number", 0.8, 0, 100},
  {"top_k", "integer", 40, 0, 1 << 24}, {"top_p", "number", 1, 0, 1}, {"seed", "integer", 1, 0, 1 << 53},
  {"stream", "boolean", false},
}

-- A function that writes what ids stand for, from where it was, as far as its characters are whole.
local function shower(m)
  local done = 0
  return function(ids)
    local text = m.tokenizer:decode(ids, {continued = true})
    local upto = whole(text)
    if upto > done then engine.write(text:sub(done + 1, upto)) end
    done = math.max(done, upto)
  end
end

--- m:generate(prompt, {tokens=200, temperature=0.8, top_k=40, top_p=1, seed=1, stream=false}) -> text with the prompt
function Model:generate(prompt, given)
  local o = options.read("generate", given, generate_rows)
  local ids = as_ids(self, "generate", prompt)
  if #ids == 0 then ids = {10 % self.cfg.vocab} end
  check_ids(self, "generate", ids)
  return self:_quietly(function()
    local S = self.cfg.context
    if #ids > S - 1 then ids = table.move(ids, #ids - S // 2 + 1, #ids, 1, {}) end
    local text = type(prompt) == "string" and prompt or self.tokenizer:decode(ids)
    local ended = not o.stream
    local line <close> = setmetatable({}, {__close = function()
      if not ended then engine.write("\n") end -- what ended it stands on a line of its own
    end})
    if o.stream then engine.write(text) end
    local show = shower(self)
    local own, programs = self:_take_decoders()
    local p, row, at = feed(self, own, ids, 1, 0, o.seed)
    local fresh = {}
    for n = 1, o.tokens do
      local id = engine.draw(p.logits, row, o.temperature, o.top_k, o.top_p, o.seed, n)
      ids[#ids + 1] = id
      fresh[#fresh + 1] = id
      if o.stream then show(fresh) end
      engine.breathe(o.stream)
      if n < o.tokens then
        if at == S then -- the cache is full: go on from the latter half
          ids = table.move(ids, #ids - S // 2 + 1, #ids, 1, {})
          p, row, at = feed(self, own, ids, 1, 0, o.seed)
        else
          p, row, at = feed(self, own, ids, #ids, at, o.seed)
        end
      end
    end
    programs.decoders = own -- lost after an error, and when programs were made anew meanwhile
    return text .. self.tokenizer:decode(fresh, {continued = true})
  end)
end

-- ---- looking ----

local function product(shape)
  local n = 1
  for _, v in ipairs(shape) do n = n * v end
  return n
end

--- m:count() -> {total=, active=, flops_per_token=}: parameters, those that one token uses, and model FLOPs of a
-- training step a token: 6 for each multiply-add weight it uses, plus causal attention at half.
function Model:count(context)
  local total, active, weights = 0, 0, 0
  for i, p in ipairs(self.params) do
    local info = self._info[i]
    local n = product(p.shape)
    local used = info.experts > 0 and n // info.experts * info.active or n
    total, active = total + n, active + used
    if #p.shape >= 2 and (not info.lookup or self.cfg.tie) then weights = weights + used end
  end
  return {total = total, active = active,
          flops_per_token = 6.0 * weights + 6.0 * (context or self.cfg.context) * self._attention_width}
end

function Model:_make_layers()
  for l = 1, self.cfg.layers or 0 do
    local layer = {number = l}
    local moe = self._moe[l]
    if moe then
      layer.moe = {experts = {}, top_k = moe.top_k}
      for e = 1, moe.experts do layer.moe.experts[e] = {number = e, layer = l} end
    end
    self.layers[l] = layer
  end
end

function Model:__tostring() return require("switchyard.card").model(self) end

-- ---- on disk ----

--- m:save(path, {family=}) -> true: a folder of model.safetensors, config.json, tokenizer.json and
-- tokenizer_config.json; a second result says why transformers cannot load it, where it cannot
function Model:save(path, given) return require("switchyard.model_file").save(self, path, given) end

--- model.load(path) -> m
function model.load(path)
  return require("switchyard.model_file").load(path, function(family, config)
    local m = families[family] and Model.new(family, config)
    if m then m._fresh = false end
    return m
  end)
end

-- A model that is not there; nil only for what looks without a name in the text (pairs, rawget).
setmetatable(model, {__index = function(_, name)
  if type(name) ~= "string" or debug.getinfo(2, "S").what == "C" then return nil end
  local names = {}
  for known, v in pairs(model) do
    if type(v) == "function" and known:sub(1, 1) ~= "_" then names[#names + 1] = known end
  end
  table.sort(names)
  local _, why = pcall(options.unknown, "model", "model", name, names)
  error(why, 2)
end})

Model.__index = Model
Model.__name = "model"
model.Model = Model
return model
