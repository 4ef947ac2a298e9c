-- What the prompt shows of a model (a tree) and of a run (a card).

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local lazy = require "switchyard.core.lazy"

local objective = lazy "switchyard.model.objective"
local teacher = lazy "switchyard.run.teacher"

local card = {}

local function human(n)
  if n >= 1e9 then return ("%.2f G"):format(n / 1e9) end
  if n >= 1e6 then return ("%.2f M"):format(n / 1e6) end
  if n >= 1e3 then return ("%.1f k"):format(n / 1e3) end
  return ("%.0f"):format(n) -- FLOPs a token may be no whole number
end

-- ---- models ----

-- The names of parameters as a tree: nodes with children in order, sums of parameters below.
local function add(node, name, p, info, flops)
  local n = 1
  for _, size in ipairs(p.shape) do n = n * size end
  local used = info.experts > 0 and n // info.experts * info.active or n
  for part in name:gmatch "[^.]+" do
    local child = node[part]
    if not child then
      child = {label = part, total = 0, active = 0, flops = 0, count = 1}
      node[part] = child
      node[#node + 1] = child
    end
    node = child
    node.total, node.active, node.flops = node.total + n, node.active + used,
      node.flops + (flops and 6 * used * flops or 0)
  end
  node.shape = "(" .. table.concat(p.shape, ", ") .. ")"
end

-- Text of a subtree without the numbers in which layers differ: what looks alike is folded.
local function form(node)
  local out = {node.shape or ""}
  for i, child in ipairs(node) do out[i + 1] = child.label .. "{" .. form(child) .. "}" end
  return table.concat(out, ";")
end

-- Neighbours with numbers for names and the same form become one line, 1-6 (parameters are counted
-- from 0).
local function fold(node)
  local out = {}
  for _, child in ipairs(node) do
    local number, last = math.tointeger(tonumber(child.label)), out[#out]
    if number and last and last.first and last.form == form(child) then
      last.last, last.count = number, last.count + 1
      last.total, last.active, last.flops = last.total + child.total, last.active + child.active,
        last.flops + child.flops
    else
      if number then child.first, child.last, child.form = number, number, form(child) end
      out[#out + 1] = child
    end
  end
  return out
end

local function label_of(node)
  if not node.first then return node.label end
  return node.count > 1 and ("%d-%d"):format(node.first + 1, node.last + 1) or
    tostring(node.first + 1)
end

-- times: how often the folded nodes above stand for themselves.
local function put(lines, node, indent, times)
  local children, label = fold(node), label_of(node)
  while #children == 1 and not node.shape do -- layers.1-6, gate.weight: one line
    times, node = times * node.count, children[1]
    if node.label ~= "weight" then label = label .. "." .. label_of(node) end
    children = fold(node)
  end
  local all = times * node.count
  lines[#lines + 1] = {(" "):rep(indent) .. label,
    node.shape and node.shape .. (all > 1 and " x " .. all or "") or "",
    human(node.total * times), human(node.active * times),
    node.flops > 0 and human(node.flops * times) or "-"}
  for _, child in ipairs(children) do put(lines, child, indent + 2, all) end
end

--- Text of a model: parameters in all and those that a token uses, FLOPs a token and training step.
function card.model(m)
  local c, root = m:count(), {label = "", total = 0, active = 0, flops = 0, count = 1}
  for i, p in ipairs(m.params) do
    local info = m._info[i]
    add(root, info.name:gsub("^model%.", ""), p, info,
      #p.shape >= 2 and (not info.lookup or m.cfg.tie) and m:_uses(info))
  end
  local lines = {{"", "", "parameters", "active", "FLOP"}}
  local rest = c.flops_per_token
  for _, child in ipairs(fold(root)) do
    put(lines, child, 2, 1)
    rest = rest - child.flops
  end
  if rest > 0 then lines[#lines + 1] = {"  attention of tokens", "", "", "", human(rest)} end
  local out = {("model.%s: %s parameters, %s active a token, %sFLOP a token and step%s")
    :format(m.family, human(c.total), human(c.active), human(c.flops_per_token) .. " ",
      c.varies and " (with top_k experts; their number varies)" or "")}
  local widths = {0, 0, 0, 0, 0}
  for _, l in ipairs(lines) do
    for c = 1, 5 do widths[c] = math.max(widths[c], #l[c]) end
  end
  local format = ("%%-%ds %%-%ds %%%ds %%%ds %%%ds"):format(table.unpack(widths))
  for _, l in ipairs(lines) do out[#out + 1] = format:format(table.unpack(l)) end
  return engine.clean(table.concat(out, "\n"))
end

-- ---- runs ----

-- What the alarms that are on say, in full; where none is, what one said last.
local function alarm_lines(h)
  local fine, list = pcall(function() return h:alarms() end)
  if not fine or type(list) ~= "table" then return {} end
  local function line(what, a)
    return engine.clean(("  %s  step %d: %s: %s"):format(what, a.step, a.name, a.text))
  end
  local on, last = {}, nil
  local out = {""}
  for _, a in ipairs(list) do
    if a.on then on[#on + 1] = a.name end
    if a.on and a.step and a.text then out[#out + 1] = line("alarm", a) end
    if a.step and a.text and (not last or a.step > last.step) then last = a end
  end
  out[1] = "  health  " .. (#on > 0 and table.concat(on, ", ") or "no alarm is on")
  if last and #on == 0 then
    out[2] = require("switchyard.prompt.show").clip(line("last alarm", last), engine.columns() - 2)
  end
  return out
end

-- ---- events ----

local function clock(time)
  return os.date(os.date("%F", time // 1 | 0) == os.date "%F" and "%H:%M:%S" or "%F %H:%M",
    time // 1 | 0)
end

local Event = {__tostring = function(e)
  return engine.clean(("step %d, %s%s%s: %s"):format(e.step,
    e.time and clock(e.time) .. ", " or "", (e.who or "") ~= "" and e.who .. ", " or "", e.kind,
    e.text))
end}

-- Lists of them: of all that one has, what says it to people.
local function listed(columns, none)
  return {__tostring = function(list)
    local lines, signed = {}, false
    for i, e in ipairs(list) do
      lines[i] = {step = e.step, time = e.time and clock(e.time), kind = e.kind, text = e.text,
                  who = e.who}
      signed = signed or (e.who or "") ~= ""
    end
    return #lines > 0 and require("switchyard.prompt.show").columns(lines,
      signed and columns.signed or columns) or none
  end}
end

local Events = listed({"step", "time", "kind", "text"}, "no events")
local Journal = listed({"step", "kind", "text", signed = {"step", "who", "kind", "text"}},
  "the journal is empty")

local function of_kind(list, meta)
  for _, e in ipairs(list) do setmetatable(e, Event) end
  return setmetatable(list, meta)
end

--- The events of a store, which are printed by columns, one by one in full; the same of the entries
-- of a journal.
function card.events(list) return of_kind(list, Events) end
function card.journal(list) return of_kind(list, Journal) end

-- What is learned, and the newest loss of each part of a mixture.
local function objective_line(h, by)
  local list = {}
  for _, part in ipairs(type(by) == "table" and #by > 1 and by or {}) do
    local losses = h:history("loss." .. part.name)
    local n = losses.shape[1]
    if n > 0 then list[#list + 1] = ("%s %.3f"):format(part.name, losses[n][2]:item()) end
  end
  return ("  objective  %s%s"):format(objective.text(by),
    #list > 0 and "; loss " .. table.concat(list, ", ") or "")
end

local SOURCES = 8 -- of more the first

-- The newest loss of each source of the data, where it has several.
local function source_line(h, sources)
  local name = h:series_of("source_loss", 0)
  local losses = name and h:last(name)
  if not losses then return nil end
  local list = {}
  for i = 1, math.min(#losses, SOURCES) do
    local v = losses[i]
    list[i] = ("%s %s"):format(sources[i] or i, v == v and ("%.3f"):format(v) or "-")
  end
  local more = #losses - #list
  return engine.clean(("  sources  loss %s%s"):format(table.concat(list, ", "),
    more > 0 and (", and %d more (r:history %q)"):format(more, name) or ""))
end

--- Text of a run from its status, and its loss as a sparkline.  o: its options; sources: names of
-- its data's.
function card.run(name, h, o, sources)
  local s, by = h:status(), o.objective
  local head, now = ("run %s: %s, step %d/%d"):format(name, s.state, s.step, s.steps), {}
  if s.state == enum.state.RUNNING and s.eta and s.eta > 0 then
    head = head .. ", eta " .. engine.duration(s.eta)
  end
  local function item(label, format, v)
    if v then now[#now + 1] = label .. " " .. format:format(v) end
  end
  item("loss", "%.3f", s.loss)
  item("val", "%.3f", s.val_loss)
  item("lr", "%.1e", s.current_lr)
  item("grad norm", "%.2f", s.grad_norm)
  item("tok/s", "%.0f", s.tok_s)
  item("mfu", "%.0f%%", s.mfu and 100 * s.mfu)
  local out = {head}
  if s.error then out[#out + 1] = "  " .. engine.clean(s.error) end
  if #now > 0 then out[#out + 1] = "  " .. table.concat(now, "   ") end
  if s.load_max_mean then
    out[#out + 1] = ("  experts  load max/mean %.2f, dead %d%s"):format(s.load_max_mean, s.dead,
      s.disabled > 0 and (", disabled %d"):format(s.disabled) or "")
  end
  if by and by ~= "next" then out[#out + 1] = objective_line(h, by) end
  out[#out + 1] = source_line(h, sources or {})
  if o.teacher then out[#out + 1] = teacher.line(o.teacher, h) end
  out[#out + 1] = ("  optimizer  %s, %s of state"):format(h:optimizer(),
    engine.bytes(h:state_bytes()))
  for _, line in ipairs(alarm_lines(h)) do out[#out + 1] = line end
  if s.step > 0 then
    local losses = h:history "loss"
    local n = losses.shape[1]
    if n > 0 then
      local first, last = losses[1][2], losses[n][2]
      out[#out + 1] = ("  %s  %.3f to %.3f"):format(engine.sparkline(losses,
        math.max(10, math.min(60, engine.columns() - 20))), first, last)
    end
  end
  return table.concat(out, "\n")
end

return card
