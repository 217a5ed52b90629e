class ImportsController < ApplicationController
  def create
    rows = open(params[:source]).readlines
    render json: { rows: rows.size }
  end
end
