class ProductsController < ApplicationController
  def index
    sort = params[:sort] || 'name'
    render json: Product.order("#{sort} ASC")
  end
end
