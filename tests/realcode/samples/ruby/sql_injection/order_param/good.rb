class ProductsController < ApplicationController
  COLUMNS = %w[name price].freeze

  def index
    sort = COLUMNS.include?(params[:sort]) ? params[:sort] : 'name'
    render json: Product.order(sort => :asc)
  end
end
