-- A trace as a file, a .safetensors of
--     trace      u8: JSON: version, of, step, precision, text of each layer and mixture (parts)
--     tokens     i32 (T)      losses f32 (T)      ranks i32 (T)
--     texts      u8: those of the tokens, one behind the other; ends i32 (T): where each ends
--     inputs, input_texts, input_ends: the same of an encoder's
--     experts.L, placed.L, chosen.L i32, gates.L, scores.L, margin.L f32: of the mixture at place L
--     about, router, routing.L: as lua/model/routing_trace.lua has them of one step of T tokens, so
--                that router {"replay", path} can force them; where they cannot be forced, `trace`
--                says why
--
--  1. A file is of anybody: what it says is checked before anything is made of it, and refused in a
--     line.  What it has of text passes the sanitizer when it is printed, as all text does.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local json = require "switchyard.core.json"
local routing_trace = require "switchyard.model.routing_trace"
local trace = require "switchyard.lab.trace"

local file = {}
local VERSION, MOST = 1, 1 << 16 -- of layers

local function fail(...) error(string.format(...), 0) end

-- ---- writing ----

local function bytes_of(s) return tensor({(s .. "\n"):byte(1, -1)}, {dtype = "u8"}) end

-- Texts as bytes, in pieces: string.byte gives few at once.
local function put_texts(all, name, texts)
  local list, ends = {}, {}
  for i, s in ipairs(texts) do
    for at = 1, #s, 4096 do
      for _, byte in ipairs {s:byte(at, math.min(#s, at + 4095))} do list[#list + 1] = byte end
    end
    ends[i] = #list
  end
  list[#list + 1] = 0
  all[name .. "s"] = tensor(list, {dtype = "u8"})
  all[(name:gsub("text$", "end")) .. "s"] = tensor(ends, {dtype = "i32"})
end

local FACTS = {"place", "label", "layer", "name", "E", "K", "router", "side"}
local TENSORS = {experts = "i32", placed = "i32", chosen = "i32", gates = "f32", scores = "f32",
                 margin = "f32"}

local function put_parts(all, parts)
  local list = {}
  for i, part in ipairs(parts) do
    list[i] = {}
    for _, name in ipairs(FACTS) do list[i][name] = part[name] end
    for name in pairs(TENSORS) do
      if part[name] then all[name .. "." .. part.place] = part[name] end
    end
  end
  return #list > 0 and list or json.empty_list
end

-- Why the choices cannot be forced; nil: they can.
local function unforced(t)
  local first = t._parts[1]
  if not first then return "no layer has experts" end
  if #t.windows.starts > 1 then
    return ("the text is %d tokens, more than the context of %d"):format(#t.ids, t.windows.length)
  end
  if t._options.layers then return "not all layers were traced" end
  for _, part in ipairs(t._parts) do
    if part.E ~= first.E or part.K ~= first.K then return "its layers are of several kinds" end
    if not part.chosen or part.chosen.shape[2] ~= part.K then
      return ("router '%s' does not give each token K experts"):format(part.router)
    end
  end
end

-- The router with its options as a text, or nil and why there is none.
local function router_of(t)
  local given = t._model and t._model.cfg.router or t._router
  if not given then return nil, "the model's configuration names no router" end
  return routing_trace.text_of(given)
end

-- What router replay reads, or why it cannot.
local function put_routing(all, t)
  local why = unforced(t)
  local of, reason = nil, nil
  if not why then of, reason = router_of(t) end
  why = why or reason
  if why then return why end
  local first = t._parts[1]
  all.about = tensor({routing_trace.VERSION, first.E, first.K, 1, t.step}, {dtype = "i32"})
  all.router = tensor({of:byte(1, -1)}, {dtype = "u8"})
  for _, part in ipairs(t._parts) do
    local chosen = part.chosen:cast "f32"
    if part.experts.shape[2] == part.K then
      chosen = part.experts:gt(0):where(chosen, chosen * -1)
    end
    all["routing." .. part.place] = chosen:view(1, -1):cast "f16"
  end
end

--- t:save(path) -> true; nil, message, code
function file.save(t, path)
  local all = {tokens = tensor(t.ids, {dtype = "i32"}), losses = t.losses, ranks = t.ranks}
  put_texts(all, "text", t._texts)
  if t.inputs then
    all.inputs = tensor(t.inputs, {dtype = "i32"})
    put_texts(all, "input_text", t._input_texts)
  end
  local parts = put_parts(all, t._parts)
  local labels = {}
  for l = 1, t._layer_count do labels[l] = t._labels[l] or "" end
  all.trace = bytes_of(json.text {version = VERSION, of = t.of, step = t.step,
    precision = t.precision, layers = t._layer_count, parts = parts,
    labels = #labels > 0 and labels or json.empty_list, some = t._options.layers ~= nil,
    length = t.windows.length, starts = t.windows.starts, unforced = put_routing(all, t) or ""})
  return tensor.save(path, all)
end

-- ---- reading ----

local function string_of(x)
  local list, out = x:table(), {}
  for at = 1, #list, 4096 do
    out[#out + 1] = string.char(table.unpack(list, at, math.min(#list, at + 4095)))
  end
  return table.concat(out)
end

-- A tensor of the file of this dtype and shape; a size of 0: any.
local function want(all, name, dtype, ...)
  local x, shape = all[name], {...}
  local good = x and x.dtype == dtype and #x.shape == #shape
  for i, n in ipairs(shape) do good = good and (n == 0 or x.shape[i] == n) end
  if good then return x end
  fail("%s is missing or not as it must be", engine.clean(name))
end

-- All elements of i32 x are from `least` to `most`.
local function check_range(name, x, least, most)
  if x:min():item() < least or x:max():item() > most then
    fail("%s has a number outside of %d to %d", engine.clean(name), least, most)
  end
end

local function texts_of(all, name, n)
  local bytes = string_of(want(all, name .. "s", "u8", 0))
  local ends = want(all, (name:gsub("text$", "end")) .. "s", "i32", n):table()
  local list, before = {}, 0
  for i, at in ipairs(ends) do
    if at < before or at > #bytes then fail("%ss do not lie one behind the other", name) end
    list[i], before = bytes:sub(before + 1, at), at
  end
  return list
end

local function whole(v, least, most)
  return math.type(v) == "integer" and v >= least and v <= most
end

local function check_head(h)
  if type(h) ~= "table" then fail("trace is no JSON object") end
  if h.version ~= VERSION then
    fail("it is of version %s; this program reads %d", tostring(h.version), VERSION)
  end
  for _, name in ipairs {"of", "precision", "unforced"} do
    if type(h[name]) ~= "string" then fail("trace has no %s", name) end
  end
  if not whole(h.step, 0, math.maxinteger) or not whole(h.layers, 0, MOST)
    or not whole(h.length, 1, 1 << 24) then
    fail("step, layers or length is no number of that kind")
  end
  for _, name in ipairs {"parts", "labels", "starts"} do
    if type(h[name]) ~= "table" or #h[name] > MOST then fail("trace has no %s", name) end
  end
end

local function check_part(part, layers)
  if type(part) ~= "table" then fail("a mixture is no JSON object") end
  for _, name in ipairs {"place", "label", "name", "router"} do
    if type(part[name]) ~= "string" then fail("a mixture has no %s", name) end
  end
  if not whole(part.layer, 1, layers) or not whole(part.E, 1, 1 << 20)
    or not whole(part.K, 1, part.E) then
    fail("a mixture's layer, E or K is no number of that kind")
  end
end

local function read_part(all, given, h, T, S)
  check_part(given, h.layers)
  local part, n = {}, given.side == "input" and S or T
  for _, name in ipairs(FACTS) do part[name] = given[name] end
  local function get(name, ...)
    local key = name .. "." .. part.place
    part[name] = (all[key] or name == "experts" or name == "placed" or name == "gates")
      and want(all, key, TENSORS[name], n, ...) or nil
    if part[name] and TENSORS[name] == "i32" then
      check_range(key, part[name], 0, name == "chosen" and 1 << 20 or part.E)
    end
  end
  get("experts", 0)
  local M = part.experts.shape[2]
  get("placed", M)
  get("gates", M)
  get("chosen", 0)
  get("scores", part.E)
  get "margin"
  return part
end

local function labels_of(h)
  local labels = {}
  for l, label in ipairs(h.labels) do
    if type(label) ~= "string" then fail("a label is no text") end
    labels[l] = label ~= "" and label or nil
  end
  return labels
end

local function check_starts(h, T)
  local before = -1
  for _, at in ipairs(h.starts) do
    if not whole(at, before + 1, T - 1) then fail("its windows do not lie one behind the other") end
    before = at
  end
end

local function made(all)
  local text = all.trace and all.trace.dtype == "u8" and #all.trace.shape == 1
    and string_of(all.trace)
  if not text then fail("it has no trace") end
  local h = engine.json(text)
  check_head(h)
  local T = want(all, "tokens", "i32", 0).size
  local S = all.inputs and want(all, "inputs", "i32", 0).size
  check_range("tokens", all.tokens, 0, math.maxinteger)
  check_starts(h, T)
  local t = fields.object(trace.Trace, {
    ids = all.tokens:table(), inputs = S and all.inputs:table(), of = h.of, step = h.step,
    precision = h.precision, losses = want(all, "losses", "f32", T),
    ranks = want(all, "ranks", "i32", T), windows = {length = h.length, starts = h.starts}})
  t._texts, t._labels, t._layer_count = texts_of(all, "text", T), labels_of(h), h.layers
  t._input_texts = S and texts_of(all, "input_text", S)
  t._parts, t._options = {}, {layers = h.some and {} or nil}
  for i, part in ipairs(h.parts) do t._parts[i] = read_part(all, part, h, T, S or T) end
  t._router = h.unforced == "" and all.router and string_of(want(all, "router", "u8", 0)) or nil
  t._unforced = h.unforced
  t.text = table.concat(t._texts)
  return trace.finish(t)
end

--- trace.load(path) -> t; nil, message, code
function file.load(path)
  if type(path) ~= "string" then error("trace.load: takes a path, got " .. type(path), 2) end
  local all, why, code = tensor.load(path)
  if not all then return nil, why, code end
  if type(all) ~= "table" then all = {} end
  local ok, t = pcall(made, all)
  if ok then return t end
  local message = engine.clean(tostring(t)):gsub("^%S+:%d+: ", "")
  return nil, ("trace.load: '%s' is no trace: %s"):format(path, message), "FORMAT"
end

return file
