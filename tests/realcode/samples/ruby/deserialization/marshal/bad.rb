class CartsController < ApplicationController
  def show
    cart = Marshal.load(Base64.decode64(cookies[:cart]))
    render json: cart
  end
end
