-- How a trace is printed: for each layer its text, coloured by the expert that weighs most in each
-- token, and what share of the choices each expert has.
--
--  1. Without colours, and where there are more experts than colours, the expert's number stands
--     under each token, its digits one below the other: nothing is shown by colour alone.
--  2. Texts and names come of data: they pass engine.clean, and escape sequences are engine.pens's
--     alone.  A newline is shown as ↵ and breaks the line; a tab as \t.
--  3. Lines fit the terminal by the columns that characters take.

local engine = require "switchyard.engine"
local json = require "switchyard.core.json"

local text = {}
local RESET = "\27[0m"

local function newline() return os.getenv "SWITCHYARD_SYMBOLS" == "ascii" and "\\n" or "↵" end

--- A token's text in quotation marks, for a line.
function text.quoted(s) return engine.clean((("%q"):format(s):gsub("\\\n", "\\n"))) end

--- Rows of cells as lines, each column as wide as its widest.
function text.columns(rows)
  local widths, lines = {}, {}
  for _, cells in ipairs(rows) do
    for c, cell in ipairs(cells) do widths[c] = math.max(widths[c] or 0, engine.cells(cell)) end
  end
  for r, cells in ipairs(rows) do
    local out = {}
    for c, cell in ipairs(cells) do out[c] = cell .. (" "):rep(widths[c] - engine.cells(cell)) end
    lines[r] = "  " .. (table.concat(out, "  "):gsub("%s+$", ""))
  end
  return table.concat(lines, "\n")
end

--- The expert of each token that weighs most among those that have a place; 0: none.
function text.first(part)
  local there = part.placed:gt(0):where(part.gates, tensor.full({1}, -1))
  local best, column = there:topk(1, -1)
  local expert = part.placed:gather(-1, column):view(-1)
  return best:view(-1):ge(0):where(expert, tensor.zeros(expert.shape, {dtype = "i32"})):table()
end

--- {text, expert, true where the line ends} in the order of the tokens.
local function pieces_of(texts, experts)
  local list, sign = {}, newline()
  for i, whole in ipairs(texts) do
    if whole == "" then whole = "‹›" end
    for piece, ends in whole:gmatch "([^\n]*)(\n?)" do
      if piece ~= "" or ends ~= "" then
        local shown = engine.clean((piece:gsub("\t", "\\t"))) .. (ends ~= "" and sign or "")
        list[#list + 1] = {shown, experts[i], ends ~= ""}
      end
    end
  end
  return list
end

-- Pieces as lines of at most `width` columns.
local function lines_of(pieces, width)
  local lines, line, used = {}, {}, 0
  local function flush() lines[#lines + 1], line, used = line, {}, 0 end
  for _, piece in ipairs(pieces) do
    local rest = piece[1]
    if used > 0 and used + engine.cells(rest) > width then flush() end
    while engine.cells(rest) > width do
      local n = engine.fit(rest, width)
      line[1] = {rest:sub(1, n), piece[2]}
      flush()
      rest = rest:sub(n + 1)
    end
    line[#line + 1], used = {rest, piece[2]}, used + engine.cells(rest)
    if piece[3] then flush() end
  end
  if used > 0 then flush() end
  return lines
end

-- The digits of the experts under a line, `digits` rows.
local function numbers_under(line, digits)
  local rows = {}
  for d = 1, digits do rows[d] = {} end
  for i, piece in ipairs(line) do
    local number = ("%" .. digits .. "s"):format(piece[2] > 0 and tostring(piece[2]) or "-")
    for d = 1, digits do rows[d][i] = number:sub(d, d):rep(engine.cells(piece[1])) end
  end
  for d = 1, digits do rows[d] = table.concat(rows[d]):gsub("%s+$", "") end
  return rows
end

local function pen_of(pens, expert)
  if expert == 0 then return pens[0] end
  return pens[(expert - 1) % #pens + 1]
end

-- Where nothing but spaces would be seen a dot stands for each.
local function paint(pens, expert, s)
  if s:find "^ +$" then s = ("·"):rep(#s) end
  return pen_of(pens, expert) .. s .. RESET
end

local function painted_line(line, pens)
  local out = {}
  for i, piece in ipairs(line) do out[i] = paint(pens, piece[2], piece[1]) end
  return table.concat(out)
end

local function plain_line(line)
  local out = {}
  for i, piece in ipairs(line) do out[i] = piece[1] end
  return (table.concat(out):gsub("%s+$", ""))
end

--- Texts with their experts as lines for a terminal of that many columns; pens: nil without
-- colours.
function text.lines(texts, experts, E, width, pens)
  local out, digits = {}, #tostring(E)
  for _, line in ipairs(lines_of(pieces_of(texts, experts), width)) do
    out[#out + 1] = pens and painted_line(line, pens) or plain_line(line)
    if not pens or E > #pens then
      for _, row in ipairs(numbers_under(line, digits)) do out[#out + 1] = row end
    end
  end
  return out
end

-- Shares of the choices, greatest first: "5 23%  2 18%", on lines that fit.
local function legend(part, width, pens)
  local flat, E = part.placed:view(-1), part.E
  local count = flat:bincount(E + 1):table()
  local all, order = 0, {}
  for e = 1, E do all, order[e] = all + count[e + 1], e end
  table.sort(order, function(a, b)
    if count[a + 1] ~= count[b + 1] then return count[a + 1] > count[b + 1] end
    return a < b
  end)
  local lines, line, used = {}, {"share:"}, 6
  for _, e in ipairs(order) do
    if count[e + 1] > 0 then
      local word = ("%d %.0f%%"):format(e, 100 * count[e + 1] / all)
      if used > 0 and used + #word + 2 > width then
        lines[#lines + 1], line, used = table.concat(line, "  "), {}, 0
      end
      line[#line + 1], used = pens and pen_of(pens, e) .. word .. RESET or word, used + #word + 2
    end
  end
  lines[#lines + 1] = table.concat(line, "  ")
  return lines
end

local function head_of(part)
  local margin = part.margin and ("; margin %.3g in the mean"):format(part.margin:mean():item())
  return engine.clean(("%s: %d of %d experts by %s%s"):format(part.label, part.K, part.E,
    part.router, margin or ""))
end

local function append(out, lines)
  for _, line in ipairs(lines) do out[#out + 1] = line end
end

local function mean_loss(t)
  local n = #t.ids - 1
  return n > 0 and (", loss %.3f"):format(t.losses:narrow(1, 1, n):mean():item()) or ""
end

--- The first line.
function text.title(t)
  return engine.clean(("trace of %s at step %d: %d tokens%s%s"):format(t.of, t.step, #t.ids,
    mean_loss(t), t.precision ~= "fp32" and ", " .. t.precision or ""))
end

local function whole(t, pens)
  local out, width = {text.title(t)}, math.max(20, engine.columns())
  for _, part in ipairs(t._parts) do
    out[#out + 1] = head_of(part)
    local texts = part.side == "input" and t._input_texts or t._texts
    append(out, text.lines(texts, text.first(part), part.E, width, pens))
    append(out, legend(part, width, pens))
  end
  if #t._parts == 0 then out[#out + 1] = "no layer has experts" end
  return table.concat(out, "\n")
end

-- Numbers of a tensor's rows; what is not finite is null.
local function rows_of(x)
  local function value(v)
    if type(v) ~= "table" then return v == v and math.abs(v) < math.huge and v or engine.null end
    local out = {}
    for i, e in ipairs(v) do out[i] = value(e) end
    return out
  end
  return x and value(x:table()) or nil
end

--- A trace as one line of JSON.
function text.json(t)
  local layers, tokens = {}, {}
  for i, part in ipairs(t._parts) do
    layers[i] = {layer = part.layer, label = engine.clean(part.label), K = part.K, E = part.E,
      router = engine.clean(part.router), experts = rows_of(part.experts),
      gates = rows_of(part.gates), margin = rows_of(part.margin)}
  end
  for i, s in ipairs(t._texts) do tokens[i] = engine.clean(s) end
  local all = {event = "trace", run = engine.clean(t.of), step = t.step, precision = t.precision,
    ids = t.ids, tokens = tokens, losses = rows_of(t.losses), ranks = rows_of(t.ranks),
    layers = #layers > 0 and layers or json.empty_list}
  return (json.text(all):gsub("\n%s*", " "))
end

function text.plain(t) return whole(t, nil) end
function text.painted(t, pens) return whole(t, pens) end

return text
