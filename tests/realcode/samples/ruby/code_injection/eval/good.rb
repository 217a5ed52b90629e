class CalculatorController < ApplicationController
  OPERATIONS = { 'add' => :+, 'multiply' => :* }.freeze

  def show
    operation = OPERATIONS.fetch(params[:operation])
    result = params[:left].to_f.public_send(operation, params[:right].to_f)
    render json: { result: result }
  end
end
