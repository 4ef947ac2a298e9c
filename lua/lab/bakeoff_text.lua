-- The tables of a bake-off: for the terminal, as Markdown and as CSV; and its charts.

local engine = require "switchyard.engine"
local enum = require "switchyard.core.enum"
local results = require "switchyard.lab.bakeoff_results"
local show = require "switchyard.prompt.show"
local svg = require "switchyard.lab.svg"
local text = {}

local function cell(format, by)
  return function(v) return v and v == v and format:format(v / (by or 1)) or "-" end
end

local function name(row) return row.entrant end

-- {head, cell(row)}: what is of the loss and its price, and what is of balance.
local COST = {
  {"entrant", name},
  {"params", function(r) return svg.tick_text(r.total) end},
  {"active", function(r) return svg.tick_text(r.active) end},
  {"steps", function(r) return cell "%.0f"(r.steps) end},
  {"val loss", function(r) return cell "%.4f"(r.loss) end},
  {"dev.", function(r) return cell "%.4f"(r.deviation) end},
  {"best", function(r) return cell "%.4f"(r.best) end},
  {"FLOPs", function(r) return cell "%.2e"(r.flops) end},
  {"s", function(r) return cell "%.1f"(r.seconds) end},
  {"tok/s", function(r) return cell "%.0f"(r.tok_s) end},
}
local BALANCE = {
  {"entrant", name},
  {"max/mean", function(r) return cell "%.2f"(r.max_mean) end},
  {"MaxVio", function(r) return cell "%.3f"(r.max_vio) end},
  {"dropped", function(r) return cell("%.1f%%", 0.01)(r.drop) end},
  {"dead", function(r) return cell "%.1f"(r.dead) end},
}

-- ">": by the first evaluation it was reached already.
local function times(r, of)
  return r[of] and ("%s%.2fx"):format(r.least and ">" or "", r[of]) or "not reached"
end

-- Columns of the ratios of "flops" or "seconds" at equal loss.
local function ratio_columns(levels, of)
  local columns = {{"entrant", name}}
  for i, loss in ipairs(levels) do
    columns[i + 1] = {("loss %.3f"):format(loss), function(r) return times(r.ratios[i], of) end}
  end
  return columns
end

local function length(s) return utf8.len(s) or #s end

-- A Markdown table of rows; the first column is cut where the lines do not fit `room`.
local function table_of(columns, rows, room)
  local widths, cells = {}, {}
  for c, column in ipairs(columns) do widths[c] = length(column[1]) end
  for i, row in ipairs(rows) do
    cells[i] = {}
    for c, column in ipairs(columns) do
      cells[i][c] = column[2](row)
      widths[c] = math.max(widths[c], length(cells[i][c]))
    end
  end
  local all = 1
  for _, w in ipairs(widths) do all = all + w + 3 end
  widths[1] = math.max(7, widths[1] - math.max(0, all - room))
  local lines = {}
  local function line(list)
    local parts = {}
    for c, s in ipairs(list) do
      s = show.clip(s, widths[c])
      local space = (" "):rep(widths[c] - length(s))
      parts[c] = c == 1 and s .. space or space .. s
    end
    lines[#lines + 1] = "| " .. table.concat(parts, " | ") .. " |"
  end
  local head, rule = {}, {}
  for c, column in ipairs(columns) do
    head[c] = column[1]
    rule[c] = c == 1 and ("-"):rep(widths[c]) or ("-"):rep(widths[c] - 1) .. ":"
  end
  line(head)
  line(rule)
  for i = 1, #cells do line(cells[i]) end
  return table.concat(lines, "\n")
end

-- As many columns at a time as fit into the room, the entrant's in each table.
local function tables_of(columns, rows, room)
  local out, part, used = {}, {columns[1]}, nil
  local function width(column)
    local w = length(column[1])
    for _, row in ipairs(rows) do w = math.max(w, length(column[2](row))) end
    return w + 3
  end
  local first = 1 + math.min(width(columns[1]), 20)
  used = first
  for c = 2, #columns do
    local w = width(columns[c])
    if used + w > room and #part > 1 then
      out[#out + 1] = table_of(part, rows, room)
      part, used = {columns[1]}, first
    end
    part[#part + 1], used = columns[c], used + w
  end
  out[#out + 1] = table_of(part, rows, room)
  return table.concat(out, "\n\n")
end

local function routed(rows)
  local list = {}
  for _, row in ipairs(rows) do
    if row.max_mean then list[#list + 1] = row end
  end
  return list
end

local function budget_text(b)
  return ("%.3g %s"):format(b.amount, b.kind == "flops" and "FLOPs" or b.kind)
end

--- What there is to say beside the tables: lines.
local function remarks(b)
  local list = {}
  for _, e in ipairs(b._spec.entrants) do
    if #e.left > 0 then
      list[#list + 1] = ("%s: made without %s of model, of which its router has none"):format(
        e.label, table.concat(e.left, ", "))
    end
    if e.varies then
      list[#list + 1] = ("%s: a token gets top_k experts nominally, so its FLOPs are nominal")
        :format(e.label)
    end
  end
  for _, row in ipairs(#b.levels == 0 and b.rows or {}) do
    if row.entrant == results.BASE then
      list[#list + 1] = ("no ratios: %s has no evaluation with a finite loss"):format(row.entrant)
    end
  end
  for _, r in ipairs(b.records) do
    if r.state == enum.state.FAILED then
      list[#list + 1] = ("%s-%d: failed at step %d, and is not in the losses"):format(r.label,
        r.seed, r.steps)
    elseif not (math.abs(r.loss or 0) < math.huge) then
      local last = r.curve[#r.curve]
      list[#list + 1] = ("%s-%d: its loss is not finite behind step %d: it is not in the losses, "
        .. "and the mean curve ends there"):format(r.label, r.seed, last and last.step or 0)
    end
    for _, change in ipairs(r.changes) do
      list[#list + 1] = ("%s-%d: changed by hand at %s"):format(r.label, r.seed, change)
    end
  end
  return list
end

local function heading(b)
  local done = #b.records
  return ("bake-off %s: %s each, %d entrants, %d seeds%s"):format(b.name,
    budget_text(b._spec.budget), #b._spec.entrants, b._spec.seeds,
    done < b._spec.seeds * #b._spec.entrants and (", %d runs are over"):format(done) or "")
end

--- All tables, for lines of so many columns.
function text.tables(b, room)
  local out = {tables_of(COST, b.rows, room)}
  for _, of in ipairs(#b.levels > 0 and {"flops", "seconds"} or {}) do
    out[#out + 1] = ("%s for a loss: dense-active's by the entrant's (over 1: cheaper)"):format(
      of == "flops" and "FLOPs" or "Seconds")
    out[#out + 1] = tables_of(ratio_columns(b.levels, of), b.rows, room)
  end
  local with_experts = routed(b.rows)
  if #with_experts > 0 then
    out[#out + 1] = "Balance over the last tenth of the steps"
    out[#out + 1] = tables_of(BALANCE, with_experts, room)
  end
  local said = remarks(b)
  if #said > 0 then out[#out + 1] = table.concat(said, "\n") end
  return engine.clean(table.concat(out, "\n\n"))
end

--- What the prompt shows of it.
function text.shown(b, room)
  return engine.clean(heading(b)) .. "\n\n" .. text.tables(b, room)
end

--- The same as a file of Markdown.
function text.markdown(b)
  local s = b._spec
  return ("# Bake-off %s\n\n%s. Data: %d tokens, hash %s. Steps of %d tokens. Val loss is nats a "
    .. "token of the validation part, without auxiliary losses; dev. is the deviation over the "
    .. "seeds; s is the training alone. Switchyard %s, %s kernels, %s.\n\n%s\n"):format(b.name,
    heading(b), s.data.tokens, s.data.hash, s.step_tokens, engine.version, (tensor.cpu()),
    os.date "%Y-%m-%d", text.tables(b, math.huge))
end

-- ---- CSV ----

local FIELDS = {"entrant", "kind", "seeds", "total", "active", "flops_per_token", "steps", "tokens",
                "flops", "seconds", "tok_s", "loss", "deviation", "best", "max_mean", "max_vio",
                "drop", "dead"}

local function quoted(v)
  if v == nil or v ~= v then return "" end
  if math.type(v) == "float" then return ("%.9g"):format(v) end
  v = tostring(v)
  return v:find '[,"\n\r]' and '"' .. v:gsub('"', '""') .. '"' or v
end

--- A line an entrant, with a line of names before them; an empty field has no value.
function text.csv(b)
  local head, lines = table.move(FIELDS, 1, #FIELDS, 1, {}), {}
  for i in ipairs(b.levels) do
    for _, of in ipairs {"loss", "flops", "seconds"} do
      head[#head + 1] = of == "loss" and "level_" .. i or ("%s_ratio_%d"):format(of, i)
    end
  end
  lines[1] = table.concat(head, ",")
  for _, row in ipairs(b.rows) do
    local parts = {}
    for i, field in ipairs(FIELDS) do parts[i] = quoted(row[field]) end
    for i in ipairs(b.levels) do
      local r = row.ratios[i]
      for _, of in ipairs {"loss", "flops", "seconds"} do parts[#parts + 1] = quoted(r[of]) end
    end
    lines[#lines + 1] = table.concat(parts, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- charts ----

--- Loss against tokens, FLOPs and seconds: the mean of the seeds, and between which losses they
-- are.  log: the axes below are logarithmic.
function text.svg(b, log)
  local panels = {}
  for i, of in ipairs {"tokens", "flops", "seconds"} do
    local lines = {}
    for k, row in ipairs(b.rows) do
      local points, band = {}, {}
      for j, p in ipairs(row.curve) do
        points[j], band[j] = {p[of], p.loss}, {p[of], p.low, p.high}
      end
      lines[k] = {label = row.entrant, points = points, band = row.seeds > 1 and band or nil}
    end
    panels[i] = {x = of == "flops" and "FLOPs" or of, y = "validation loss, nats a token",
                 log_x = log, lines = lines}
  end
  return svg.charts{title = heading(b), panels = panels}
end

return text
