-- What the loss is without each expert: r:ablate{batches=}, s:ablate of a stored run, m:ablate.
--
--   delta[e]      loss with expert e disabled in that layer alone, less the loss as it is, in nats
--   by[d][e]      the same over the targets of one domain: the causal matrix
--   saliency[e]   mean of gate * |output| over the tokens that are sent to e (Lasby et al. 2025,
--                 REAP: what pruning goes by); load[e]: its share of the choices
--
--  1. One evaluation as it is, and one for each expert of each layer: none more.
--  2. All are of one step and of the same windows (m:loss), in fp32.
--  3. Where it cannot be disabled the loss is NaN and `reasons` says why.

local engine = require "switchyard.engine"
local assignments = require "switchyard.lab.assignments"
local counting = require "switchyard.lab.counting"
local options = require "switchyard.core.options"
local probe = require "switchyard.lab.probe"
local progress = require "switchyard.lab.progress"
local result = require "switchyard.lab.result"
local subject = require "switchyard.lab.subject"
local surgery = require "switchyard.run.surgery"

local ablation = {}

local function fail(...) error("ablate: " .. string.format(...), 0) end

-- ---- one evaluation ----

-- Adds what each target loses to the domain that it is of.
local function add_domains(p, rows, of, sums, counts)
  local T = p.fields.targets.shape[2]
  local losses, targets = p.losses:table(), p.fields.targets:view(-1):table()
  local documents = p.fields.documents:view(-1):table()
  local sources = p.fields.sources and p.fields.sources:view(-1):table()
  for i = 1, rows * T do
    if targets[i] >= 0 then
      local d = of(documents[i], sources and sources[i] or 0)
      sums[d], counts[d] = sums[d] + losses[i], counts[d] + 1
    end
  end
end

-- Loss over the windows, and that of each domain.
local function evaluate(p, a, o, change, each)
  local D, loss = #a.domains, 0
  local sums, counts = counting.zeros(D), counting.zeros(D)
  p:over(o.batches, function(_, rows, share)
    loss = loss + p.loss:item() * share
    if D > 0 then add_domains(p, rows, a.of, sums, counts) end
    if each then each(rows) end
    a.done()
  end, change)
  for d = 1, D do sums[d] = counts[d] > 0 and sums[d] / counts[d] or 0 / 0 end
  a.evaluations = a.evaluations + 1
  return loss, sums
end

-- ---- as it is ----

-- What each expert of a layer adds to it: sums over its tokens, and how many they are.
local function add_outputs(p, sums, counts, rows)
  for i, x in ipairs(p.mixtures) do
    local M, N = x.experts.shape[2], x.experts.shape[1] // p.o.rows * rows
    local experts, norms = x.experts:view(-1):table(), x.output:view(-1):table()
    sums[i], counts[i] = sums[i] or counting.zeros(x.E), counts[i] or counting.zeros(x.E)
    for k = 1, N * M do
      local e = experts[k]
      if e > 0 and e <= x.E then
        sums[i][e], counts[i][e] = sums[i][e] + norms[k], counts[i][e] + 1
      end
    end
  end
end

local function as_it_is(m, d, a, o)
  local p = a.probe(true)
  local sums, counts = {}, {}
  a.loss, a.by = evaluate(p, a, o, nil, function(rows) add_outputs(p, sums, counts, rows) end)
  for i, x in ipairs(p.mixtures) do
    local total, saliency, load = 0, {}, {}
    for e = 1, x.E do total = total + counts[i][e] end
    for e = 1, x.E do
      saliency[e] = counts[i][e] > 0 and sums[i][e] / counts[i][e] or 0 / 0
      load[e] = total > 0 and counts[i][e] / total or 0
    end
    a.layers[i] = {label = x.label, layer = x.layer, place = x.place, router = x.router, E = x.E,
                   saliency = result.f64(saliency), load = result.f64(load), reasons = {},
                   delta = {}, by = {}}
  end
end

-- ---- without each ----

local function moe_at(m, place)
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do
      if moe.place == place then return moe end
    end
  end
end

-- The layer's mask without expert e, or nil and why there is none.
local function mask_without(m, layer, e)
  local mask = m.inputs["mask." .. layer.place]
  if not mask then return nil, ("router '%s' goes by no mask"):format(layer.router) end
  local values, moe = mask:table(), moe_at(m, layer.place)
  if values[e] ~= 0 then return nil, "it is disabled already" end
  values[e] = -math.huge
  local enabled = surgery.reach(moe, values)
  if enabled < moe.top_k then
    return nil, ("%d of %d experts would remain, a token needs %d"):format(enabled, layer.E,
      moe.top_k)
  end
  return values
end

local function without(m, p, a, o, layer, e)
  local values, why = mask_without(m, layer, e)
  local name = "mask." .. layer.place
  if values and not p.d.inputs[name] then
    values, why = nil, ("router '%s' goes by no mask"):format(layer.router)
  end
  if not values then
    layer.reasons[e] = why
    return 0 / 0, {}
  end
  return evaluate(p, a, o, function(inputs) engine.put(inputs[name], values) end)
end

local function each_expert(m, a, o)
  local p = a.probe(false)
  for _, layer in ipairs(a.layers) do
    for d = 1, #a.domains do layer.by[d] = {} end
    for e = 1, layer.E do
      local loss, by = without(m, p, a, o, layer, e)
      layer.delta[e] = loss - a.loss
      for d = 1, #a.domains do layer.by[d][e] = (by[d] or 0 / 0) - a.by[d] end
    end
    layer.delta = result.f64(layer.delta)
    layer.by = #a.domains > 0 and result.f64(layer.by) or nil
  end
end

-- ---- texts ----

local function heats(a)
  local list, rows, most, values = {}, {}, 0, {}
  local high = 0
  for i, layer in ipairs(a.layers) do
    rows[i], values[i], most = layer.label, layer.delta:table(), math.max(most, layer.E)
    for _, v in ipairs(values[i]) do if v == v then high = math.max(high, v) end end
  end
  list[1] = {title = "loss without each expert, more than with it (nats a token)", rows = rows,
             columns = result.numbers(most), values = values, least = 0, most = high,
             format = "%.3f"}
  for _, layer in ipairs(#a.domains > 0 and a.layers or {}) do
    list[#list + 1] = {title = layer.label .. ": the same of each domain", rows = a.domains,
                       columns = result.numbers(layer.E), values = layer.by:table(), least = 0,
                       most = high, format = "%.3f"}
  end
  return list
end

local EXPERTS = 64 -- of more those whose delta is largest, up or down

local function all_experts(a)
  local list = {}
  for i, layer in ipairs(a.layers) do
    local delta, saliency, load = layer.delta:table(), layer.saliency:table(), layer.load:table()
    for e = 1, layer.E do
      list[#list + 1] = {at = i, label = layer.label, expert = e, delta = delta[e],
                         saliency = saliency[e], load = load[e], reason = layer.reasons[e]}
    end
  end
  return list
end

-- Those without a number come last.
local function by_size(x, y)
  local u, v = x.delta == x.delta and math.abs(x.delta) or -1,
    y.delta == y.delta and math.abs(y.delta) or -1
  if u ~= v then return u > v end
  return x.at < y.at or x.at == y.at and x.expert < y.expert
end

local function by_layer(x, y)
  if x.at ~= y.at then return x.at < y.at end
  local u, v = x.delta == x.delta and x.delta or -math.huge,
    y.delta == y.delta and y.delta or -math.huge
  if u ~= v then return u > v end
  return x.expert < y.expert
end

local function experts_table(a)
  local list = all_experts(a)
  local all = #list
  table.sort(list, by_size)
  list = table.move(list, 1, math.min(EXPERTS, all), 1, {})
  table.sort(list, by_layer)
  local rows = {{"layer", "expert", "delta", "saliency", "load", ""}}
  for i, x in ipairs(list) do
    rows[i + 1] = {x.label, ("%d"):format(x.expert),
                   x.delta == x.delta and ("%+.4f"):format(x.delta) or "-",
                   result.number(x.saliency), result.percent(x.load), x.reason or ""}
  end
  local lines = result.table(rows, 6)
  if all > #list then
    lines[#lines + 1] = ("… %d more, whose delta is smaller; a:save \"x.csv\" has all"):format(
      all - #list)
  end
  return lines
end

local function text(a)
  local lines = {("loss %.4f; %d evaluations of %d windows"):format(a.loss, a.evaluations,
    a.windows)}
  result.append(lines, experts_table(a))
  for _, heat in ipairs(heats(a)) do
    lines[#lines + 1] = ""
    result.append(lines, result.heat(heat))
  end
  return lines
end

local function csv(a)
  local rows = {{"layer", "expert", "domain", "delta", "saliency", "load", "reason"}}
  for _, x in ipairs(all_experts(a)) do
    rows[#rows + 1] = {x.label, x.expert, nil, x.delta, x.saliency, x.load, x.reason}
    for d, domain in ipairs(a.domains) do
      rows[#rows + 1] = {x.label, x.expert, domain, a.layers[x.at].by[d][x.expert]:item()}
    end
  end
  return rows
end

local new = result.class("ablation", "loss by layers domains evaluations windows",
                         {text = text, csv = csv, heat = heats})

ablation.rows = assignments.options {
  {"data", "any", help = "a data set; default: the run's"},
}

-- ---- all of it ----

local function measure(m, d, o)
  subject.check_mixtures("ablate", m)
  local T, by = o.context or m.cfg.context, m:_objectives("ablate", d)
  local set, names = assignments.sets(d)
  local a = {layers = {}, domains = names or {}, of = set and assignments.labeller(set),
             evaluations = 0, windows = engine.eval_windows(d, T, o.batches, m:_inputs(), by)}
  local experts = 1
  for _, list in pairs(m._moe) do
    for _, moe in ipairs(list) do experts = experts + moe.experts end
  end
  a.done = progress("ablate", experts * ((a.windows + o.batch - 1) // o.batch), "batches")
  function a.probe(output)
    return probe.new(m, {rows = o.batch, length = T, data = d, by = by, output = output,
                         fields = assignments.fields(m, d)})
  end
  as_it_is(m, d, a, o)
  each_expert(m, a, o)
  a.of, a.done, a.probe = nil, nil, nil
  return new(a)
end

--- ablation.of(run, stored run or model, {batches=4, batch=16, context=, data=})
function ablation.of(x, asked)
  local o = options.read("ablate", asked, ablation.rows)
  local d = o.data or subject.data("ablate", x)
  if not engine.is_data(d) then fail("takes a data set, {data = d}, got %s", type(d)) end
  return subject.still("ablate", x, measure, d, o)
end

return ablation
