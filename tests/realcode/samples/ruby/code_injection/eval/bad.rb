class CalculatorController < ApplicationController
  def show
    result = eval(params[:formula])
    render json: { result: result }
  end
end
