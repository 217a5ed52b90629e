class OrdersController < ApplicationController
  def index
    @orders = Order.where("customer = '#{params[:customer]}'").order(:id)
    render json: @orders
  end
end
