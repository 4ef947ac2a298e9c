-- r:why(step): what is known of one step: its sequences, which layers and experts had large
-- gradients, what was changed just before.  r:alarms(): the table of alarms.
--
-- The sequences are derived again (src/train/order.c), as long as the data is the same; norms and
-- loads are stored series; losses of single sequences and states were measured when a step stood
-- out (src/train/why.c).

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"

-- steps of the statistics; fewer say nothing; steps of the journal
local WINDOW, LEAST, BEFORE = 128, 64, 50
local EXCERPT, SHOWN = 60, 5 -- characters of a text; rows of a list on the card

-- ---- series ----

local function value_at(r, name, step)
  local rows = r._h:rows_until(name, step, 1)
  return rows and rows[1] and rows[1][1] == step and rows[1][2] or nil
end

-- Values of the accepted steps among the last before `step`, the newest first.
local function before(r, name, step, n)
  local skipped, values = {}, {}
  for _, row in ipairs(r._h:rows_until("skipped", step - 1, 4 * n) or {}) do
    skipped[row[1]] = true
  end
  local list = r._h:rows_until(name, step - 1, 4 * n) or {}
  for i = #list, 1, -1 do
    if not skipped[list[i][1]] then values[#values + 1] = list[i][2] end
    if #values == n then break end
  end
  return values
end

local function mean_of(values)
  local sum = 0
  for _, v in ipairs(values) do sum = sum + v end
  return #values > 0 and sum / #values or nil
end

-- {value=, mean=, deviation=, sigma=} of a series at a step against the steps before, as the spike
-- rule has it (src/train/spike.h; mean: what is usual): of gradient norms the logarithms, and
-- `factor` instead of a deviation.
local function against(r, name, step, logs)
  local values = before(r, name, step, WINDOW)
  local value = value_at(r, name, step)
  if #values < LEAST then return {value = value} end
  local mean, deviation, sigma = r._h:against(values, value or 0, logs or false)
  sigma = value and sigma
  if logs then
    return {value = value, mean = math.exp(mean), factor = math.exp(deviation), sigma = sigma}
  end
  return {value = value, mean = mean, deviation = deviation, sigma = sigma}
end

-- ---- gradients ----

local function by_ratio(a, b)
  if a.ratio ~= b.ratio then return a.ratio > b.ratio end
  return a.name < b.name
end

-- Entries {norm=, usual=, ratio=, at=} of all columns of a series: at the step (wide series: at
-- most 9 steps before it) and on average before.
local function norm_entries(r, name, width, step)
  local rows, out = r._h:rows_until(name, step, width == 1 and BEFORE or 6), {}
  local now = table.remove(rows)
  if not now or now[1] < step - 9 then return out end
  for e = 1, width do
    local past = {}
    for i, row in ipairs(rows) do past[i] = row[e + 1] end
    local usual = mean_of(past)
    out[e] = {name = name, norm = now[e + 1], usual = usual, at = now[1],
              ratio = usual and usual > 0 and now[e + 1] / usual or 0}
  end
  return out
end

-- Loads of the experts of a mixture at a step; nil: unknown.  kind: likewise of another series.
local function loads_at(r, step, layer, mixture, kind)
  local name = r._h:series_of(kind or enum.series.LOAD, layer, mixture)
  local row = name and (r._h:rows_until(name, step, 1) or {})[1]
  return row and row[1] == step and table.move(row, 2, #row, 1, {}) or nil
end

-- What is said of a norm, by the kind of its series.
local function subject(name, s)
  local place = engine.place(s.layer, s.mixture)
  if s.kind == enum.series.ROUTER_NORM then return "router of " .. place end
  return s.layer > 0 and place or name
end

local function expert_entries(r, name, s, step, experts)
  local load = loads_at(r, step, s.layer, s.mixture)
  for e, x in ipairs(norm_entries(r, name, s.width, step)) do
    x.name, x.layer, x.expert, x.load = name .. "." .. e, s.layer, e,
      load and load[e]
    x.mixture = s.mixture ~= "" and s.mixture or nil
    experts[#experts + 1] = x
  end
end

local function gradients(r, step)
  local layers, experts = {}, {}
  for name, s in pairs(r._h:series()) do
    if s.kind == enum.series.EXPERT_NORM then
      expert_entries(r, name, s, step, experts)
    elseif s.kind == enum.series.ROUTER_NORM or s.kind == enum.series.NORM and
      name ~= "grad_norm" then
      for _, x in ipairs(norm_entries(r, name, s.width, step)) do
        x.what = subject(name, s)
        layers[#layers + 1] = x
      end
    end
  end
  table.sort(layers, by_ratio)
  table.sort(experts, by_ratio)
  return layers, experts
end

-- ---- routers ----

local function routers(r, step, states)
  local out, at = {}, 1
  local values = {}
  for _, name in ipairs(r._m._state_names) do
    local n = r._m.states[name].size
    values[name] = states and #states >= at + n - 1 and
      table.move(states, at, at + n - 1, 1, {}) or nil
    at = at + n
  end
  for l, list in pairs(r._m._moe) do
    for i, moe in ipairs(list) do
      local entropy = r._h:series_of(enum.series.ENTROPY, l, moe.name)
      out[#out + 1] = {layer = l, number = i, mixture = moe.name,
                       load = loads_at(r, step, l, moe.name),
                       disabled = loads_at(r, step, l, moe.name, enum.series.DISABLED),
                       entropy = entropy and value_at(r, entropy, step),
                       bias = values[moe.path .. ".gate.e_score_correction_bias"]}
    end
  end
  table.sort(out, function(a, b)
    if a.layer ~= b.layer then return a.layer < b.layer end
    return a.number < b.number
  end)
  return out
end

-- ---- sequences ----

-- The beginning of a row: of its window, or of its pairs one after the other.
local function excerpt(r, row)
  local ids, tok = {}, r._d.tokenizer
  for _, s in ipairs(row.pairs or {row}) do
    local n = math.min(s.tokens, EXCERPT - #ids)
    if n > 0 then table.move(r._h:row_ids(s.start, n), 1, n, #ids + 1, ids) end
  end
  local text = tok and tok:decode(ids) or table.concat(ids, " ")
  text = engine.clean(text:gsub("[\r\n\t]+", " "))
  if utf8.len(text) and utf8.len(text) > EXCERPT then
    text = text:sub(1, utf8.offset(text, EXCERPT + 1) - 1)
  end
  return text
end

local function sequences(r, step, losses)
  local list = r._h:rows(step)
  for i, s in ipairs(list) do
    s.text = excerpt(r, s)
    s.loss = losses and losses[i]
    if s.loss and s.loss < 0 then s.loss = nil end -- not measured
  end
  if losses then -- NaN first, then falling
    table.sort(list, function(a, b)
      local x, y = a.loss, b.loss
      if not x or not y then return x ~= nil or y == nil and a.start < b.start end
      if x ~= x or y ~= y then return x ~= x and (y == y or a.start < b.start) end
      if x ~= y then return x > y end
      return a.start < b.start
    end)
  end
  return list
end

-- Step up to which the run had other data, if `step` is of then: which sequences it saw cannot be
-- told.
local function other_data(r, step)
  for _, e in ipairs(r._h:journal()) do
    if e.kind == enum.entry.RESUME and e.key == "data" and e.step >= step then return e.step end
  end
end

-- ---- the journal ----

local function changes(r, step)
  local out = {}
  for _, e in ipairs(r._h:journal()) do
    if e.step >= step - BEFORE and e.step < step then
      out[#out + 1] = {step = e.step, kind = e.kind, text = e.text}
    end
  end
  return out
end

-- ---- the card ----

local function number(v) return v and ("%.4g"):format(v) or "unknown" end

local function value_line(what, x)
  local line = ("  %-12s%s"):format(what, number(x.value))
  if not x.mean then return line end
  local usual = number(x.mean) .. (x.factor and (" */ %.2f"):format(x.factor) or " ± "
    .. number(x.deviation))
  if x.sigma then
    return line .. ("  %+.1f deviations from %s of the steps before"):format(x.sigma, usual)
  end
  return line .. ("  (%s in the steps before)"):format(usual)
end

local function norms_line(what, list, text)
  local parts = {}
  for i = 1, math.min(SHOWN, #list) do
    local x = list[i]
    parts[i] = text(x) .. " " .. number(x.norm)
      .. (x.ratio > 0 and (" (x%.1f)"):format(x.ratio) or "")
  end
  if #parts == 0 then return nil end
  return ("  %-12s%s"):format(what, table.concat(parts, ", "))
end

local function router_line(x)
  local parts = {}
  if x.load then
    local most, dead, disabled = 0, 0, 0
    for e, v in ipairs(x.load) do
      local off = x.disabled and x.disabled[e] > 0
      if v > (x.load[most] or -1) then most = e end
      if off then disabled = disabled + 1 elseif v <= 0 then dead = dead + 1 end
    end
    parts[1] = ("expert %d has %.2f of a fair share, %d have nothing%s"):format(most,
      x.load[most], dead, disabled > 0 and (", %d are disabled"):format(disabled) or "")
  end
  if x.entropy then parts[#parts + 1] = ("entropy %.3f"):format(x.entropy) end
  if x.bias then
    parts[#parts + 1] = ("bias from %.4g to %.4g"):format(math.min(table.unpack(x.bias)),
      math.max(table.unpack(x.bias)))
  end
  return ("  %-12s%s"):format("router " .. x.layer .. (x.mixture and " " .. x.mixture or ""),
    table.concat(parts, ", "))
end

local function sequence_line(s)
  local from = s.source and s.source:match "[^/]*$" or "text"
  if s.line then from = from .. ":" .. s.line end
  if s.domain then from = from .. " domain " .. s.domain end
  local loss = s.loss and ("loss %-8s"):format(number(s.loss)) or ""
  if s.pairs and #s.pairs > 1 then from = ("%s and %d more,"):format(from, #s.pairs - 1) end
  return ("    %s%s token %d: %s"):format(loss, engine.clean(from), s.start, s.text)
end

local Why = {__name = "why"}

function Why.__tostring(w)
  local lines = {("step %d of %s%s"):format(w.step, w.run, w.reason and (": %s%s"):format(w.reason,
    w.skipped and w.reason ~= enum.skip["LEFT OUT"] and ", skipped" or "") or "")}
  local function add(line) if line then lines[#lines + 1] = line end end
  add(value_line("loss", w.loss))
  add(value_line("grad norm", w.grad_norm))
  add(norms_line("gradients", w.layers, function(x) return x.what end))
  add(norms_line("experts", w.experts,
    function(x) return ("%s expert %d"):format(engine.place(x.layer, x.mixture), x.expert) end))
  for i, x in ipairs(w.routers) do
    if i <= 12 then add(router_line(x)) end
  end
  if w.other_data then
    add(("  which sequences is not known: the run had other data up to step %d")
      :format(w.other_data))
  end
  add(not w.other_data and ("  %d sequences%s"):format(#w.sequences,
    #w.sequences > 0 and w.sequences[1].loss and ", the worst first:" or ":"))
  for i = 1, math.min(SHOWN, #w.sequences) do add(sequence_line(w.sequences[i])) end
  if #w.sequences > SHOWN then add(("    ... %d more"):format(#w.sequences - SHOWN)) end
  if #w.before == 0 then add(("  nothing was changed in the %d steps before"):format(BEFORE)) end
  for _, e in ipairs(w.before) do
    add(("  step %d: %s: %s"):format(e.step, e.kind, engine.clean(e.text)))
  end
  return table.concat(lines, "\n")
end

-- ---- methods ----

local function find_spike(r, step)
  local list = r._h:spikes()
  for i = #list, 1, -1 do
    if step == nil or list[i].step == step then return list[i] end
  end
end

-- What was measured at a spike, where there was one: also what is not finite, which series do not
-- hold.
local function loss_of(r, step, spike)
  if not spike then return against(r, "loss", step) end
  return {value = spike.loss, mean = spike.loss_mean, deviation = spike.loss_deviation,
          sigma = spike.loss_sigma}
end

local function norm_of(r, step, spike)
  if not spike then return against(r, "grad_norm", step, true) end
  return {value = spike.grad_norm, mean = spike.norm_mean, factor = spike.norm_factor,
          sigma = spike.norm_sigma}
end

local function check_step(r, step)
  local done = r._h:status().step
  if math.type(step) ~= "integer" or step < 1 then
    error("why: the step must be a whole number from 1: it is " .. tostring(step), 3)
  end
  if step > done + 1 then
    error(("why: step %d is not done yet: the run is at step %d"):format(step, done), 3)
  end
end

--- r:why(step) -> what is known of the step, by default of the newest one that stood out, else of
-- the newest: a table, printed as a card
local function why(r, step)
  local spike = find_spike(r, step)
  step = step or spike and spike.step or math.max(1, r._h:status().step)
  check_step(r, step)
  local losses, states
  if spike then losses, states = r._h:spike_detail(step) end
  local code = value_at(r, "skipped", step)
  local w = {run = r.name, step = step, skipped = code ~= nil or spike ~= nil and spike.skipped,
             reason = code and engine.skip_name(code) or spike and spike.reason or nil}
  w.loss, w.grad_norm = loss_of(r, step, spike), norm_of(r, step, spike)
  w.layers, w.experts = gradients(r, step)
  w.routers = routers(r, step, states)
  w.other_data = other_data(r, step)
  w.sequences = w.other_data and {} or sequences(r, step, losses)
  w.before = changes(r, step)
  return setmetatable(w, Why)
end

local Alarms = {__name = "alarms"}

function Alarms.__tostring(list)
  local lines = {}
  for i, a in ipairs(list) do
    lines[i] = ("%-3s %-16s %s"):format(a.on and "ON" or "", a.name,
      a.text and engine.clean(("step %d: %s"):format(a.step, a.text)) or a.condition)
  end
  return table.concat(lines, "\n")
end

--- r:alarms() -> list of {name=, condition=, on=, step=, text=}: all alarms there are, and what
-- they said last
local function alarms(r) return setmetatable(r._h:alarms(), Alarms) end

return {why = why, alarms = alarms}
