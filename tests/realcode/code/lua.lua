-- Orders of a shop.
local json = require("json")
local stock = require "stock"
LIMIT = 3
local Order = {}

--[[ What one
customer wants. ]]
function Order.new(items)
  return setmetatable({ items = items }, Order)
end

function Order:total(strict)
  local sum = 0
  for _, one in ipairs(self.items) do
    if one.ok and strict then sum = sum + 1 elseif strict then sum = 0 end
  end
  return sum
end

local function help() end
local twice = function(x) return x * 2 end
return Order
