-- trace.diff(t1, t2): where two traces of one text differ: of two checkpoints, two precisions, two
-- models or two programs.
--
--  1. Experts of a token differ where the sets of those that it is given do, whatever their order.

local engine = require "switchyard.engine"
local options = require "switchyard.core.options"
local text = require "switchyard.lab.trace_text"

local diff = {}
local Diff = {__name = "difference of traces"}
local SHOWN = 20 -- tokens that are printed

local function fail(...) error("trace.diff: " .. string.format(...), 0) end

-- ---- comparing ----

-- (N,E): x (N,M) where experts (N,M) are.
local function dense(experts, x, E)
  local numbers = tensor.arange(E, {dtype = "f32"}):view(1, E) + 1
  local sum
  for j = 1, experts.shape[2] do
    local here = experts:narrow(2, j, 1):cast("f32"):eq(numbers):cast "f32"
    local of = x and here * x:narrow(2, j, 1) or here
    sum = sum and sum + of or of
  end
  return sum
end

local function layer_of(a, b)
  local E = a.E
  local others = (dense(a.experts, nil, E) - dense(b.experts, nil, E)):abs():sum(-1):gt(0)
  local gates = (dense(a.experts, a.gates, E) - dense(b.experts, b.gates, E)):abs():sum(-1)
  return {label = a.label, layer = a.layer, differ = others:cast("f32"):mean():item(),
          gates = gates:mean():item(), tokens = others:cast("i32"):table(), side = a.side}
end

local function same_list(a, b)
  if (a and #a or -1) ~= (b and #b or -1) then return false end
  for i = 1, a and #a or 0 do if a[i] ~= b[i] then return false end end
  return true
end

local function check(a, b)
  for _, t in ipairs {a, b} do
    if getmetatable(t) ~= require("switchyard.lab.trace").Trace then
      fail("takes two traces, got %s", type(t))
    end
  end
  if #a.ids ~= #b.ids then fail("the texts are of %d and %d tokens", #a.ids, #b.ids) end
  for i, id in ipairs(a.ids) do
    if id ~= b.ids[i] then fail("the texts differ: token %d is %d and %d", i, id, b.ids[i]) end
  end
  if not same_list(a.inputs, b.inputs) then fail("the inputs differ") end
end

local function other_of(part, t)
  for _, x in ipairs(t._parts) do
    if x.place == part.place then
      if x.E ~= part.E then fail("%s has %d and %d experts", part.label, part.E, x.E) end
      return x
    end
  end
  fail("%s is not in both", part.label)
end

local function layers_of(a, b)
  local list = {}
  if #a._parts ~= #b._parts then
    fail("there are %d and %d layers with experts", #a._parts, #b._parts)
  end
  for i, part in ipairs(a._parts) do list[i] = layer_of(part, other_of(part, b)) end
  return list
end

-- Of each token the labels of the layers in which its experts differ.
local function tokens_of(a, b, layers)
  local list, l1, l2 = {}, a.losses:table(), b.losses:table()
  for i = 1, #a.ids do
    local labels = {}
    for _, x in ipairs(layers) do
      if x.side ~= "input" and x.tokens[i] ~= 0 then labels[#labels + 1] = x.label end
    end
    list[i] = {number = i, text = a._texts[i], layers = labels, loss1 = l1[i], loss2 = l2[i]}
  end
  return list
end

local function whole_share(layers)
  local differ, all = 0, 0
  for _, x in ipairs(layers) do
    differ, all = differ + x.differ * #x.tokens, all + #x.tokens
  end
  return all > 0 and differ / all or 0
end

local function compared(a, b)
  check(a, b)
  local layers = layers_of(a, b)
  local d = {layers = layers, tokens = tokens_of(a, b, layers), differ = whole_share(layers),
             of = {text.title(a), text.title(b)}}
  for _, x in ipairs(layers) do x.tokens = nil end
  return setmetatable(d, Diff)
end

--- trace.diff(t1, t2) -> {differ=, layers={{label=, differ=, gates=}}, tokens={{number=, text=,
-- layers=, loss1=, loss2=}}}
function diff.diff(...) return options.call(compared, ...) end

-- ---- printing ----

local function loss_text(x)
  if x.loss1 ~= x.loss1 then return "", "" end
  return ("%.4f"):format(x.loss1), ("%+.4f"):format(x.loss2 - x.loss1)
end

local function token_rows(d)
  local rows, others = {{"token", "", "loss", "difference", "other experts in"}}, 0
  for _, x in ipairs(d.tokens) do
    if #x.layers > 0 then
      others = others + 1
      if others <= SHOWN then
        local loss, change = loss_text(x)
        rows[#rows + 1] = {tostring(x.number), text.quoted(x.text), loss, change,
                           engine.clean(table.concat(x.layers, ", "))}
      end
    end
  end
  return rows, others
end

function Diff.__tostring(d)
  local out = {"1: " .. d.of[1], "2: " .. d.of[2],
    ("experts differ in %.2f%% of all tokens and layers"):format(100 * d.differ)}
  local rows = {{"", "tokens with other experts", "mean |difference| of gates"}}
  for i, x in ipairs(d.layers) do
    rows[i + 1] = {engine.clean(x.label), ("%.2f%%"):format(100 * x.differ),
                   ("%.4g"):format(x.gates)}
  end
  out[#out + 1] = text.columns(rows)
  local tokens, others = token_rows(d)
  if others > 0 then out[#out + 1] = text.columns(tokens) end
  if others > SHOWN then out[#out + 1] = ("  and %d more"):format(others - SHOWN) end
  return table.concat(out, "\n")
end

return diff
