class CartsController < ApplicationController
  def show
    cart = JSON.parse(Base64.decode64(cookies[:cart]))
    render json: cart
  end
end
