# Orders of a shop.
defmodule Shop.Order do
  use GenServer
  alias Shop.{Item, Price}
  alias Shop.Stock, as: Store
  import Enum, only: [map: 2]
  require Logger

  @limit 3
  defstruct [:items, :name]

  def total(%{items: items}, strict \\ true) when is_list(items) do
    if strict, do: length(items), else: 0
  end

  defp help(x), do: x

  defmacro twice(x) do
    quote do: unquote(x) * 2
  end
end

defprotocol Rule do
  def holds(order)
end
