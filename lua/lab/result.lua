-- What a measurement gives: fields to read, a table and a heatmap at the prompt, CSV and SVG.
--
--     local kind = result.class("coactivation", "layers tokens", {text =, csv =, heat =})
--     kind{layers = ..., tokens = ...}
--       text(x) -> lines for people            csv(x, what) -> rows, the first the names of columns
--       heat(x) -> list of {title=, rows=, columns=, values=, least=, most=, format=}, as
--                  svg.heatmap takes them
--
--  1. Names, texts of tokens and labels pass the sanitizer where they are printed, and are quoted
--     where they are written to a file.
--  2. A file is written beside its place and then takes it.

local engine = require "switchyard.engine"
local fields = require "switchyard.core.fields"
local lazy = require "switchyard.core.lazy"
local show = lazy "switchyard.prompt.show"
local svg = lazy "switchyard.lab.svg"
local result = {}

local SHADES = {" ", ".", ":", "+", "#", "@"} -- every terminal has them

local function length(s) return utf8.len(s) or #s end

local function pad(s, n, right)
  local space = (" "):rep(n - length(s))
  return right and space .. s or s .. space
end

--- A number with so many decimals; "-" of none.
function result.number(v, decimals)
  if not v or v ~= v then return "-" end
  return ("%." .. (decimals or 3) .. "f"):format(v)
end

--- Lines of a table: a list of texts a row, the first row the names of columns; the first column,
-- and those from `texts` on (nil: none), stand at the left, all others at the right.
function result.table(rows, texts)
  local widths, lines = {}, {}
  for _, row in ipairs(rows) do
    for c, cell in ipairs(row) do widths[c] = math.max(widths[c] or 0, length(cell)) end
  end
  for i, row in ipairs(rows) do
    local cells = {}
    for c, cell in ipairs(row) do
      cells[c] = pad(cell, widths[c], c > 1 and c < (texts or math.huge))
    end
    lines[i] = show.clip((table.concat(cells, "  "):gsub("%s+$", "")),
      math.max(40, engine.columns()))
  end
  return lines
end

--- A share as a text.
function result.percent(v, decimals)
  if not v or v ~= v then return "-" end
  return ("%." .. (decimals or 1) .. "f%%"):format(100 * v)
end

--- A tensor of f64.
function result.f64(t) return tensor(t, {dtype = "f64"}) end

--- More lines behind others.
function result.append(lines, more)
  for _, line in ipairs(more) do lines[#lines + 1] = line end
end

-- ---- heatmaps ----

local function shade(v, low, high)
  if not v or v ~= v then return " " end
  local at = high > low and (v - low) / (high - low) or 0
  return SHADES[1 + math.floor(math.max(0, math.min(1, at)) * (#SHADES - 1) + 0.5)]
end

local function number_in(h, v) return v and v == v and (h.format or "%.2f"):format(v) or "-" end

-- Of many columns the shades alone.
local function bare_heat(h, widest)
  local lines = {}
  for i, name in ipairs(h.rows) do
    local cells = {}
    for j = 1, #h.columns do cells[j] = shade(h.values[i][j], h.least, h.most):rep(2) end
    lines[i] = pad(name, widest) .. "  " .. table.concat(cells)
  end
  return lines
end

--- Lines of a heatmap: a number and its shade, the shades alone where the terminal is too narrow.
function result.heat(h)
  local widest, most, texts = 0, 0, {}
  for i, name in ipairs(h.rows) do
    widest, texts[i] = math.max(widest, length(name)), {}
    for j = 1, #h.columns do
      texts[i][j] = number_in(h, h.values[i][j])
      most = math.max(most, #texts[i][j], length(h.columns[j]))
    end
  end
  local lines = {h.title}
  if widest + 2 + (most + 2) * #h.columns > math.max(40, engine.columns()) then
    table.move(bare_heat(h, widest), 1, #h.rows, 2, lines)
    return lines
  end
  local head = {}
  for j, name in ipairs(h.columns) do head[j] = pad(name, most, true) .. " " end
  lines[2] = pad("", widest) .. "  " .. table.concat(head, " ")
  for i, name in ipairs(h.rows) do
    local cells = {}
    for j, text in ipairs(texts[i]) do
      cells[j] = pad(text, most, true) .. shade(h.values[i][j], h.least, h.most)
    end
    lines[i + 2] = pad(name, widest) .. "  " .. table.concat(cells, " ")
  end
  return lines
end

--- 1 .. n as texts, for the columns of a heatmap.
function result.numbers(n)
  local list = {}
  for i = 1, n do list[i] = ("%d"):format(i) end
  return list
end

-- ---- files ----

local function csv_cell(v)
  if v == nil or v ~= v then return "" end
  if math.type(v) == "integer" then return ("%d"):format(v) end
  if type(v) == "number" then return ("%.9g"):format(v) end
  return v:find "[,\"\r\n]" and '"' .. v:gsub('"', '""') .. '"' or v
end

local function csv_text(rows)
  local lines = {}
  for i, row in ipairs(rows) do
    local cells = {}
    for c = 1, #rows[1] do cells[c] = csv_cell(row[c]) end
    lines[i] = table.concat(cells, ",") .. "\n"
  end
  return table.concat(lines)
end

local WRITERS = {csv = function(x, kind) return csv_text(kind.csv(x)) end,
                 svg = function(x, kind) return kind.heat and svg.heatmaps(kind.heat(x)) end}

local function save(what, x, kind, path)
  if type(path) ~= "string" then
    error(("%s: save takes a path, got %s"):format(what, type(path)), 3)
  end
  local write = WRITERS[path:match "%.(%a+)$" or ""]
  local bytes = write and write(x, kind)
  if not bytes then
    error(("%s: save writes %s: '%s' is no such file"):format(what,
      kind.heat and ".csv and .svg" or ".csv", engine.clean(path)), 3)
  end
  return engine.file_write(path, bytes)
end

-- ---- classes ----

--- result.class(what, names of fields, {text=, csv=, heat=}) -> make(values)
function result.class(what, names, kind)
  local methods = {}
  --- x:save(path) -> true: x.csv or x.svg, by the name
  function methods:save(path) return save(what, self, kind, path) end
  local class = fields.class(what, methods, names)
  class.__tostring = function(x) return engine.clean(table.concat(kind.text(x), "\n")) end
  return function(values) return fields.object(class, values) end
end

return result
